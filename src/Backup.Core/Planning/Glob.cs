using System.IO.Enumeration;
using Backup.Environments;

namespace Backup.Planning;

/// <summary>Patterns with <c>*</c> (any run of characters) and <c>?</c> (any one). Case counts.</summary>
public static class Glob
{
    public static bool HasWildcard(string pattern) => pattern.AsSpan().ContainsAny('*', '?');

    public static bool Matches(string pattern, string text) => FileSystemName.MatchesSimpleExpression(pattern, text, ignoreCase: false);

    /// <summary>
    /// A pattern matches bind mounts only when it starts with <c>bind:</c>, and dumps only when it starts with <c>dump:</c>; <c>*</c> alone means every volume.
    /// </summary>
    public static bool Matches(string pattern, SourceRef source)
    {
        SourceRef meant = SourceRef.Parse(pattern);
        if (meant.Kind != source.Kind) return false;
        return Matches(meant.Kind == SourceKind.Bind && !HasWildcard(pattern) ? meant.ToString() : pattern, source.ToString());
    }
}
