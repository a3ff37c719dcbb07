namespace Backup.Environments;

/// <summary>Commands and what they wrote, in messages.</summary>
public static class ExecText
{
    private const int LongestReason = 600;

    /// <summary>
    /// The command as people know it: a script of several lines goes by the name it was given (<c>sh -c SCRIPT NAME …</c>), everything else by its words.
    /// </summary>
    public static string Name(IReadOnlyList<string> command) =>
        IsScript(command) ? command[3] : string.Join(' ', command);

    /// <summary>A script of several lines, which nobody can type.</summary>
    internal static bool IsScript(IReadOnlyList<string> command) => command is [_, "-c", var script, _, ..] && script.Contains('\n');

    /// <summary><c>": "</c> and the last words that a failed command wrote, standard error first; empty when it wrote nothing.</summary>
    internal static string Reason(string error, string output = "")
    {
        string text = error.Trim() is { Length: > 0 } said ? said : output.Trim();
        if (text.Length > LongestReason) text = "…" + text[^LongestReason..];
        return text.Length == 0 ? "" : ": " + text;
    }
}
