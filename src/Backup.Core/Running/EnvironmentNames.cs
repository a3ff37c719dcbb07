using Backup.Policies;

namespace Backup.Running;

/// <summary>Makes of names that others gave names that the policy could have: they stand in ENV/VOLUME@TIME, in object keys and in unit names.</summary>
internal static class EnvironmentNames
{
    private const int Longest = 64;

    /// <summary>Between the name of a Swarm's environment and that of a node: a policy's names may hold it, so that a node is written like any environment.</summary>
    internal const char BeforeNode = '.';

    internal static string Valid(string name)
    {
        string clean = string.Concat(name.Select(c => char.IsControl(c) || c is '/' or '@' or '\\' ? '-' : c)).Trim().TrimStart('-', '.');
        return clean.Length > 0 ? clean : "environment";
    }

    /// <param name="id">Tells it from others that begin alike.</param>
    internal static string Cut(string name, string id) => name.Length <= Longest ? name : $"{name[..(Longest - id.Length - 1)].TrimEnd()}-{id}";

    /// <summary>Whether nobody but a node of this environment, or of one below it, can have the name.</summary>
    internal static bool CanBeNode(EnvironmentPolicy of, string name) => name.StartsWith(of.Name + BeforeNode, StringComparison.Ordinal);
}
