using Backup.Planning;

namespace Backup.Policies;

/// <summary>What defaults, environments and rules have in common; null fields were not written.</summary>
internal sealed record Settings(string? Store, QuiescePolicy? Quiesce, int? CompressionLevel, RetentionPolicy? Retention)
{
    internal static Settings None { get; } = new(null, null, null, null);

    internal DowntimeRule Downtime { get; init; } = DowntimeRule.None;
}

/// <param name="Cron">Null = no schedule.</param>
internal sealed record ScheduleSettings(string? Cron, TimeZoneInfo? TimeZone)
{
    internal static ScheduleSettings None { get; } = new(null, null);
}

/// <summary>Reads store reference, quiesce, downtime, compression, retention and schedule.</summary>
internal sealed class SettingsReader
{
    internal const int DefaultCompressionLevel = 3;
    private const int MostSlots = 100_000;
    private static readonly TimeSpan LongestHook = TimeSpan.FromHours(1);
    private static readonly string[] QuiesceWords = ["none", "pause", "stop", "auto"];

    /// <summary>The names that may be referred to.</summary>
    internal IReadOnlyList<string> Stores { get; set; } = [];

    internal Settings Read(PolicyObject section) => new(
        section["store"] is { } store ? Store(store) : null,
        section["quiesce"] is { } quiesce ? Quiesce(quiesce) : null,
        section["compression"]?.Object("\"compression\"", PolicyKeys.Compression)?.Required("level", "3")?.Whole(1, 19),
        section["retention"] is { } retention ? Retention(retention) : null)
    {
        Downtime = new DowntimeRule(
            section["maxDowntime"] is { } max ? MaxDowntime(max) : null,
            section["whenExceeded"]?.Choice(PolicyKeys.WhenExceeded),
            section["healthTimeout"] is { } health ? Limit(health, TimeSpan.Zero, "Write 60s or 5m; 0s does not wait, one hour at most.") : null)
        {
            WarmUp = section["warmUp"]?.YesOrNo(),
        },
    };

    /// <summary><c>"none"</c> lifts an inherited limit.</summary>
    private static TimeSpan? MaxDowntime(PolicyNode node) => node.IsText && node.Element.GetString() == "none"
        ? System.Threading.Timeout.InfiniteTimeSpan
        : Limit(node, TimeSpan.FromMilliseconds(1), "Write 30s or 5m, one hour at most, or \"none\" for no limit.");

    private static TimeSpan? Limit(PolicyNode node, TimeSpan least, string example)
    {
        if (node.Text("\"30s\"") is not { } text) return null;
        if (Quantities.Duration(text) is { } time && time >= least && time <= LongestHook) return time;
        node.Problem($"\"{text}\" is no time limit", example);
        return null;
    }

    /// <summary><c>null</c> or <c>"none"</c> turns an inherited schedule off; a zone alone re-reads the inherited one in it.</summary>
    internal ScheduleSettings ReadSchedule(PolicyObject section, ScheduleSettings inherited)
    {
        TimeZoneInfo? zone = section["timeZone"] is { } z ? Zone(z) : inherited.TimeZone;
        if (section.Written("schedule") is not { } node) return inherited with { TimeZone = zone };
        return new ScheduleSettings(node.IsNull || node.IsText && node.Element.GetString() == "none" ? null : Cron(node), zone);
    }

    private string? Store(PolicyNode node)
    {
        if (node.Text("\"disk\"") is not { } name) return null;
        if (Stores.Contains(name)) return name;
        node.Problem($"there is no store \"{name}\"", Nearest.Hint(name, Stores));
        return null;
    }

    private static string? Cron(PolicyNode node)
    {
        if (node.Text("\"0 3 * * *\"") is not { } text) return null;
        if (CronExpression.TryParse(text, out _, out string? problem)) return text;
        node.Problem($"not a cron expression: {problem}", "Five fields: minute hour day-of-month month day-of-week, such as \"0 3 * * *\" for 03:00 every day.");
        return null;
    }

    private static TimeZoneInfo? Zone(PolicyNode node)
    {
        if (node.Text("\"Asia/Shanghai\"") is not { } id) return null;
        if (TimeZoneInfo.TryFindSystemTimeZoneById(id, out TimeZoneInfo? zone)) return zone;
        List<string> known = [.. TimeZoneInfo.GetSystemTimeZones().Select(z => z.Id)];
        string hint = Nearest.Hint(id, known);
        node.Problem($"there is no time zone \"{id}\" on this host",
            hint.StartsWith("did", StringComparison.Ordinal) ? hint : "Use a name such as Asia/Shanghai or UTC; on a very small system install the package tzdata.");
        return null;
    }

    private static QuiescePolicy? Quiesce(PolicyNode node)
    {
        if (node.IsText)
        {
            string text = node.Element.GetString()!;
            if (text == "auto") return QuiescePolicy.Default;
            if (PolicyKeys.Modes.TryGetValue(text, out QuiesceMode mode)) return QuiescePolicy.Of(mode);
            node.Problem($"\"{text}\" is none of {string.Join(", ", QuiesceWords)}", Nearest.Hint(text, QuiesceWords));
            return null;
        }
        if (node.IsObject && node.Element.TryGetProperty("preset", out _))
        {
            return PresetReader.Read(node) is { } preset ? QuiescePolicy.Default with { Preset = preset } : null;
        }
        if (node.Object("\"quiesce\"", PolicyKeys.Quiesce) is not { } section) return null;
        IReadOnlyList<string>? before = Command(section["before"]), after = Command(section["after"]);
        QuiesceMode then = section["then"]?.Choice(PolicyKeys.Modes) ?? QuiesceMode.None;
        if (section["before"] is null && section["after"] is null && section["then"] is null)
            node.Problem("says neither before nor after nor then", "Write { \"before\": [\"sh\", \"-c\", \"…\"] }, or just \"pause\".");
        if (then == QuiesceMode.Stop && before is null && after is null && section["timeout"] is not null)
            section["timeout"]!.Problem("\"timeout\" is for the hooks, and there is none", "Remove it; a container is stopped with its own stop timeout.");
        return new QuiescePolicy(false, then, before, after, Timeout(section["timeout"]) ?? QuiescePolicy.DefaultHookTimeout);
    }

    private static IReadOnlyList<string>? Command(PolicyNode? node)
    {
        if (node is null) return null;
        if (node.IsText)
        {
            node.Problem("is a text, but a command is a list of words", $"For a shell line: [\"/bin/sh\", \"-c\", \"{node.Element.GetString()}\"].");
            return null;
        }
        IReadOnlyList<PolicyNode>? words = node.Items("[\"/bin/sh\", \"-c\", \"sync\"]");
        if (words is null) return null;
        if (words.Count == 0) node.Problem("the command is empty", "For example: [\"/bin/sh\", \"-c\", \"sync\"].");
        foreach (PolicyNode word in words.Where(w => !w.IsText)) _ = word.Text("\"-c\"");
        return [.. words.Where(w => w.IsText).Select(w => w.Element.GetString()!)];
    }

    internal static TimeSpan? Timeout(PolicyNode? node)
    {
        return node is null ? null : Limit(node, TimeSpan.FromMilliseconds(1), "Write 30s or 5m; one hour at most.");
    }

    private static RetentionPolicy? Retention(PolicyNode node)
    {
        if (node.Object("\"retention\"", PolicyKeys.Retention) is not { } section) return null;
        int keepLast = section["keepLast"]?.Whole(0, int.MaxValue) ?? 0;
        int minimum = section["minimum"]?.Whole(0, int.MaxValue) ?? 0;
        List<RetentionSlot> slots = [];
        foreach (PolicyNode slot in section["keep"]?.Items("[{ \"cron\": \"0 0 * * *\", \"for\": \"14d\" }]") ?? [])
            if (Slot(slot) is { } read) slots.Add(read);
        foreach (var (key, cron) in PolicyKeys.Shorthands)
            if (section[key]?.Whole(0, MostSlots) is { } count and > 0) slots.Add(new RetentionSlot(cron, null, count));
        if (PolicyKeys.Retention.All(key => section[key] is null))
            node.Problem("keeps nothing", "Add \"keepLast\", \"keepDaily\" or \"keep\"; leave \"retention\" out to keep everything.");
        return new RetentionPolicy(keepLast, slots, minimum);
    }

    private static RetentionSlot? Slot(PolicyNode node)
    {
        if (node.Object("a slot", PolicyKeys.Slot) is not { } section) return null;
        string? cron = section.Required("cron", "\"0 0 * * *\"") is { } c ? Cron(c) : null;
        CalendarSpan? span = section["for"] is { } f ? Span(f) : null;
        int? count = section["count"]?.Whole(1, MostSlots);
        if (section["for"] is null == section["count"] is null)
            node.Problem(section["for"] is null ? "says neither \"for\" nor \"count\"" : "says both \"for\" and \"count\"",
                $"Write one of them: \"for\": \"14d\" (an age: {Quantities.SpanExamples}) or \"count\": 7 (a number of slots).");
        return cron is null ? null : new RetentionSlot(cron, span, count);
    }

    private static CalendarSpan? Span(PolicyNode node)
    {
        if (node.Text("\"14d\"") is not { } text) return null;
        if (Quantities.Span(text) is { } span) return span;
        bool months = text.EndsWith('m') && Quantities.Span(text + "o") is not null;
        node.Problem($"\"{text}\" is no span of time", months ? $"did you mean \"{text}o\" (months)?" : $"Write for example {Quantities.SpanExamples}.");
        return null;
    }
}
