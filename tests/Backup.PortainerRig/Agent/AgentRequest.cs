namespace Backup.PortainerRig.Agent;

/// <summary>A request as it arrived, before anything was done with it.</summary>
/// <param name="Target">Path and query as sent.</param>
/// <param name="Protocol">Such as <c>HTTP/1.1</c>.</param>
public sealed record AgentRequest(string Method, string Target, string Protocol, IReadOnlyDictionary<string, string> Headers)
{
    public override string ToString() => $"{Method} {Target}";
}
