using System.Globalization;
using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Planning;

/// <summary>Turns policy and facts into the plan that a dry run prints and a real run executes. Pure.</summary>
public static class Planner
{
    /// <param name="known">Snapshots of any environment and volume; they only tell the expected sizes.</param>
    /// <param name="volumeGlobs">From the command line: of what the policy selects, only what matches one of them. Null or empty = all.</param>
    /// <param name="answers">To the questions of an earlier plan from the same facts; null = nobody was asked yet, and the best is assumed.</param>
    /// <exception cref="BackupException">NotFound: a glob matches nothing that the policy selects.</exception>
    public static BackupPlan Plan(
        EnvironmentPolicy policy, Inventory inventory, IReadOnlyList<Snapshot> known, IReadOnlyList<string>? volumeGlobs = null,
        IReadOnlyDictionary<string, string?>? answers = null)
    {
        List<PlanWarning> warnings = [.. inventory.Remarks.Select(r => new PlanWarning(r.Problem, r.Hint))];
        var asked = new PresetAnswers(answers ?? new Dictionary<string, string?>());
        var quiescing = new QuiescePlanner(inventory, asked, warnings);
        var history = new History(known, policy.Name);

        Selection selection = VolumeSelector.Select(policy.Volumes, inventory);
        DumpPlan dumps = new DumpPlanner(policy, inventory, asked, warnings).Plan(selection, quiescing);
        (IReadOnlyList<SourceRef> wanted, IReadOnlyList<DumpAsk> wantedDumps) = Choose(policy, dumps, volumeGlobs ?? []);
        WarnOfIdlePatterns(policy, [.. selection.Selected, .. selection.Missing, .. dumps.Asks.Select(d => d.Source)], warnings);

        List<VolumeAsk> asks = [];
        List<RefusedSource> refused = [.. dumps.Refused.Where(r => wanted.Contains(r.Source)), .. wantedDumps.Select(d => d.Refusal).OfType<RefusedSource>()];
        foreach (SourceRef source in wanted.Except(refused.Select(r => r.Source)))
        {
            VolumePolicy own = policy.For(source);
            Snapshot? last = history.Last(source, own.Store);
            var step = new VolumeStep(source, Facts(source, inventory), own,
                Consumers(source, inventory), [], "none", last?.Bytes, last is null ? "no snapshot yet" : $"the snapshot of {History.Time(last)}");
            Ask(quiescing, step, asks, refused);
        }

        IReadOnlyList<GroupStep> groups = [.. Grouping.Of(asks, policy).Select(quiescing.Plan).Select(g => g with { Local = inventory.Local, Expected = history.Downtime(g), Spool = SpoolForecast.Of(g, history) })];
        WarnOfDowntime(groups, warnings);
        IEnumerable<SkippedSource> unwanted = dumps.Volumes.Selected.Except(wanted).Select(s => new SkippedSource(s, "--volume leaves it out"));
        return new BackupPlan(policy.Name, inventory.Engine, groups, [.. dumps.Volumes.Skipped.Concat(unwanted).OrderBy(s => s.Source)], warnings)
        {
            Dumps = [.. wantedDumps.Where(d => d.Problem is null).Select(d => Step(d, history.Last(d.Source, d.Policy.Store)))],
            Refused = [.. refused.OrderBy(r => r.Source)],
            Questions = asked.Open,
            Missing = [.. selection.Missing.Where(m => volumeGlobs is not { Count: > 0 } || volumeGlobs.Any(g => Glob.Matches(g, m)))],
        };
    }

    /// <summary>The same sources once more, held as the facts demand now: a plan may be hours old when a group is reached.</summary>
    /// <param name="answers">As for a plan.</param>
    /// <param name="warnings">Gets what is new to know.</param>
    internal static GroupAgain Again(GroupStep group, Inventory inventory, IReadOnlyDictionary<string, string?> answers, List<PlanWarning> warnings)
    {
        var asked = new PresetAnswers(answers);
        var quiescing = new QuiescePlanner(inventory, asked, warnings);
        List<VolumeAsk> asks = [];
        List<RefusedSource> refused = [];
        foreach (VolumeStep step in group.Volumes.OrderBy(v => v.Source))
            Ask(quiescing, step with
            {
                Facts = Facts(step.Source, inventory) ?? step.Facts, Consumers = Consumers(step.Source, inventory), Quiesce = [], Note = null,
            }, asks, refused);
        return new GroupAgain(quiescing.Plan(new AskedGroup(group.Name, group.Why, asks)) with { Local = inventory.Local, Expected = group.Expected, Spool = group.Spool }, refused, asked.Open);
    }

    private static void Ask(QuiescePlanner quiescing, VolumeStep step, List<VolumeAsk> asks, List<RefusedSource> refused)
    {
        try
        {
            asks.Add(quiescing.Ask(step));
        }
        catch (PresetException e)
        {
            refused.Add(new RefusedSource(step.Source, e.Problem, e.Hint));
        }
    }

    private static DumpStep Step(DumpAsk ask, Snapshot? last) => new(ask.Source, ask.Container, ask.Preset, ask.Method!, ask.Options, ask.Policy, ask.Said,
        last?.Bytes, last is null ? "no snapshot yet" : $"the snapshot of {History.Time(last)}");

    private static VolumeFacts? Facts(SourceRef source, Inventory inventory) => inventory.Volumes.FirstOrDefault(v => SourceRef.Volume(v.Name) == source);

    private static (IReadOnlyList<SourceRef> Volumes, IReadOnlyList<DumpAsk> Dumps) Choose(EnvironmentPolicy policy, DumpPlan plan, IReadOnlyList<string> globs)
    {
        Selection selection = plan.Volumes;
        foreach (string glob in globs)
        {
            if (selection.Selected.Concat(selection.Missing).Any(s => Glob.Matches(glob, s)) || plan.Asks.Any(d => d.IsMeantBy(glob))) continue;
            if (selection.Skipped.FirstOrDefault(s => Glob.Matches(glob, s.Source)) is { } skipped)
                throw new BackupException($"--volume {glob}: the policy leaves {skipped.Source} of {policy.Name} out: {skipped.Reason}",
                    "Change \"volumes\" in the policy, or the label, so that it is selected.", FailureKind.NotFound);
            throw new BackupException($"--volume {glob} matches nothing in {policy.Name}",
                $"`backup plan {policy.Name}` lists what is there.", FailureKind.NotFound);
        }
        return globs.Count == 0 ? (selection.Selected, plan.Asks)
            : ([.. selection.Selected.Where(s => globs.Any(g => Glob.Matches(g, s)))], [.. plan.Asks.Where(d => globs.Any(d.IsMeantBy))]);
    }

    private static void WarnOfIdlePatterns(EnvironmentPolicy policy, IReadOnlyList<SourceRef> selected, List<PlanWarning> warnings)
    {
        if (selected.Count == 0)
            warnings.Add(new PlanWarning($"nothing in {policy.Name} is selected: nothing of it is backed up",
                "Correct \"volumes\" in the policy; `backup plan` says why each one is skipped."));

        foreach (RulePolicy rule in policy.Rules.Where(r => !selected.Any(s => Glob.Matches(r.Volume, s))))
            warnings.Add(new PlanWarning($"the rule for \"{rule.Volume}\" matches nothing that is backed up from {policy.Name}",
                "Correct its \"volume\", or remove the rule."));

        foreach (GroupPolicy group in policy.Groups)
            foreach (string pattern in group.Volumes.Where(p => !selected.Any(s => Glob.Matches(p, s))))
                warnings.Add(new PlanWarning($"\"{pattern}\" in the group \"{group.Name}\" matches nothing that is backed up from {policy.Name}",
                    "Correct it, or take it out of the group."));

    }

    private static void WarnOfDowntime(IReadOnlyList<GroupStep> groups, List<PlanWarning> warnings)
    {
        foreach (GroupStep group in groups)
            if (group.Expected is { } expected && group.MaxDowntime is { } max && expected.Seconds > max.TotalSeconds)
                warnings.Add(new PlanWarning(
                    string.Create(CultureInfo.InvariantCulture, $"{group.Name} is expected to be down for {expected.Seconds:0.#} s ({expected.Source}), and its maxDowntime is {max.TotalSeconds:0.#} s"),
                    "Raise maxDowntime, or make less to be read while containers are held: \"quiesce\": \"none\" for what can do without, smaller \"groups\"."));
    }

    private static IReadOnlyList<ConsumerRecord> Consumers(SourceRef source, Inventory inventory)
    {
        string kind = source.Kind == SourceKind.Volume ? "volume" : "bind";
        return
        [
            .. from c in inventory.Containers.OrderBy(c => c.Name, StringComparer.Ordinal)
               where c.HelperOfRun is null
               from m in c.Mounts
               where m.Kind == kind && (kind == "volume" ? m.Source == source.Name : SourceRef.Bind(m.Source) == source)
               select new ConsumerRecord(c.Name, c.Id, c.Image, c.ImageId, c.ImageDigest, c.ComposeProject, c.ComposeService, m.Destination, m.Writable),
        ];
    }
}
