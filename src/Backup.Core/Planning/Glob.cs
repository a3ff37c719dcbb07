using System.IO.Enumeration;
using Backup.Environments;

namespace Backup.Planning;

/// <summary>Patterns with <c>*</c> (any run of characters) and <c>?</c> (any one). Case counts.</summary>
public static class Glob
{
    private const string BindPrefix = "bind:";

    public static bool HasWildcard(string pattern) => pattern.AsSpan().ContainsAny('*', '?');

    public static bool Matches(string pattern, string text) => FileSystemName.MatchesSimpleExpression(pattern, text, ignoreCase: false);

    /// <summary>A pattern matches bind mounts only when it starts with <c>bind:</c>; <c>*</c> alone means every volume.</summary>
    public static bool Matches(string pattern, SourceRef source)
    {
        bool bind = pattern.StartsWith(BindPrefix, StringComparison.Ordinal);
        if (bind != (source.Kind == SourceKind.Bind)) return false;
        return Matches(bind && !HasWildcard(pattern) ? SourceRef.Parse(pattern).ToString() : pattern, source.ToString());
    }
}
