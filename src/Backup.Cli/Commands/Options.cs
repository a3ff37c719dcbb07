using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Backup.Cli.Commands;

/// <summary>Options and arguments that several commands share.</summary>
internal static class Options
{
    public static Option<string?> Policy { get; } = new("--policy")
    {
        Description = "The policy file",
        HelpName = "FILE",
        Recursive = true,
    };

    public static Option<bool> Json { get; } = new("--json")
    {
        Description = "One JSON document, or JSON lines for long work, on stdout",
        Recursive = true,
    };

    public static Option<bool> Quiet { get; } = new("--quiet", "-q")
    {
        Description = "No progress; results, warnings and errors only",
        Recursive = true,
    };

    public static Option<bool> Verbose { get; } = new("--verbose", "-v")
    {
        Description = "Every step: containers held and released, helpers, removals",
        Recursive = true,
    };

    public static Argument<string[]> Environments() => new("ENV")
    {
        Description = "Environments of the policy; all when none is named",
        Arity = ArgumentArity.ZeroOrMore,
    };

    public static Option<bool> DryRun(string description) => new("--dry-run") { Description = description };

    /// <summary>How long to wait for the lock of another run.</summary>
    public static Option<TimeSpan> Wait() => new("--wait")
    {
        Description = "How long to wait while another run holds the lock, such as 30s or 10m; not at all when not given",
        HelpName = "DURATION",
        CustomParser = Duration,
    };

    private const double LongestSeconds = 100 * 366 * 86400.0;

    /// <summary>Reads <c>30s</c>, <c>10m</c>, <c>26h</c>, <c>2d</c>; a bare number is seconds.</summary>
    public static TimeSpan Duration(ArgumentResult result)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        char unit = text.Length > 0 && char.IsAsciiLetter(text[^1]) ? text[^1] : 's';
        string digits = text.TrimEnd(unit);
        double? seconds = unit switch { 's' => 1, 'm' => 60, 'h' => 3600, 'd' => 86400, _ => null };
        if (seconds is null || !int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || count * seconds.Value > LongestSeconds)
        {
            result.AddError($"'{text}' is not a duration: write 30s, 10m, 26h or 2d");
            return default;
        }
        return TimeSpan.FromSeconds(count * seconds.Value);
    }
}
