using System.Text;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Backup.PortainerRig.Agent;

/// <summary>What an agent makes of a request's path.</summary>
/// <param name="Path">Decoded, without anything that looks like a version.</param>
/// <param name="Query">With its question mark, untouched (agent 1.5).</param>
internal sealed partial record RequestPath(string Path, string Query)
{
    // Everywhere in the decoded path, so that a volume called v1.0-data is out of reach, however it is escaped (agent 1.5).
    [GeneratedRegex(@"/v[0-9]\.[0-9]*")]
    private static partial Regex Version();

    internal static RequestPath Of(HttpContext context)
    {
        string target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        int question = target.IndexOf('?');
        string path = Uri.UnescapeDataString(question < 0 ? target : target[..question]);
        string rewritten = Version().Replace(path, "");
        return new RequestPath(rewritten.Length == 0 ? "/" : rewritten, question < 0 ? "" : target[question..]);
    }

    /// <summary>As it goes to the engine.</summary>
    internal string Target
    {
        get
        {
            var escaped = new StringBuilder();
            foreach (string segment in Path.Split('/')) escaped.Append('/').Append(Uri.EscapeDataString(segment));
            return escaped.ToString(1, escaped.Length - 1) + Query;
        }
    }

    internal bool Under(string prefix) => Path.StartsWith(prefix, StringComparison.Ordinal);
}
