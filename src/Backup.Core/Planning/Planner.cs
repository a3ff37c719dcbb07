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
    /// <exception cref="BackupException">NotFound: a glob matches nothing that the policy selects.</exception>
    public static BackupPlan Plan(
        EnvironmentPolicy policy, Inventory inventory, IReadOnlyList<Snapshot> known, IReadOnlyList<string>? volumeGlobs = null)
    {
        List<PlanWarning> warnings = [.. inventory.Remarks.Select(r => new PlanWarning(r.Problem, r.Hint))];
        Selection selection = VolumeSelector.Select(policy.Volumes, inventory);
        IReadOnlyList<SourceRef> wanted = Choose(policy, selection, volumeGlobs ?? []);
        WarnOfIdlePatterns(policy, inventory, selection, warnings);

        var quiescing = new QuiescePlanner(inventory, warnings);
        List<VolumeAsk> asks = [];
        foreach (SourceRef source in wanted)
        {
            VolumePolicy own = policy.For(source);
            (long? bytes, string from) = Expectation(known, policy.Name, source, own.Store);
            var step = new VolumeStep(source, inventory.Volumes.FirstOrDefault(v => SourceRef.Volume(v.Name) == source), own,
                Consumers(source, inventory), [], "none", bytes, from);
            asks.Add(quiescing.Ask(step));
        }

        IReadOnlyList<GroupStep> groups = [.. Grouping.Of(asks).Select(quiescing.Plan)];
        IEnumerable<SkippedSource> unwanted = selection.Selected.Except(wanted).Select(s => new SkippedSource(s, "--volume leaves it out"));
        return new BackupPlan(policy.Name, inventory.Engine, groups, [.. selection.Skipped.Concat(unwanted).OrderBy(s => s.Source)], warnings);
    }

    private static IReadOnlyList<SourceRef> Choose(EnvironmentPolicy policy, Selection selection, IReadOnlyList<string> globs)
    {
        foreach (string glob in globs)
        {
            if (selection.Selected.Any(s => Glob.Matches(glob, s))) continue;
            if (selection.Skipped.FirstOrDefault(s => Glob.Matches(glob, s.Source)) is { } skipped)
                throw new BackupException($"--volume {glob}: the policy leaves {skipped.Source} of {policy.Name} out: {skipped.Reason}",
                    "Change \"volumes\" in the policy, or the label, so that it is selected.", FailureKind.NotFound);
            throw new BackupException($"--volume {glob} matches nothing in {policy.Name}",
                $"`backup plan {policy.Name}` lists what is there.", FailureKind.NotFound);
        }
        return globs.Count == 0 ? selection.Selected : [.. selection.Selected.Where(s => globs.Any(g => Glob.Matches(g, s)))];
    }

    private static void WarnOfIdlePatterns(EnvironmentPolicy policy, Inventory inventory, Selection selection, List<PlanWarning> warnings)
    {
        if (selection.Selected.Count == 0)
            warnings.Add(new PlanWarning($"nothing in {policy.Name} is selected: nothing of it is backed up",
                "Correct \"volumes\" in the policy; `backup plan` says why each one is skipped."));

        foreach (RulePolicy rule in policy.Rules.Where(r => !selection.Selected.Any(s => Glob.Matches(r.Volume, s))))
            warnings.Add(new PlanWarning($"the rule for \"{rule.Volume}\" matches nothing that is backed up from {policy.Name}",
                "Correct its \"volume\", or remove the rule."));

        foreach (string pattern in policy.Volumes.Include.Where(p => !Glob.HasWildcard(p) && SourceRef.Parse(p).Kind == SourceKind.Volume))
            if (!inventory.Volumes.Any(v => v.Name == pattern))
                warnings.Add(new PlanWarning($"volumes.include names \"{pattern}\", but {policy.Name} has no such volume",
                    "Correct the name; a missing volume is not backed up."));
    }

    private static (long?, string) Expectation(IReadOnlyList<Snapshot> known, string environment, SourceRef source, string store)
    {
        string name = source.ToString();
        Snapshot? last = known.Where(s => s.Environment == environment && s.Volume == name)
            .OrderBy(s => s.Store == store).ThenBy(s => s.TakenAt).LastOrDefault();
        return last is null
            ? (null, "no snapshot yet")
            : (last.Bytes, $"the snapshot of {last.TakenAt.UtcDateTime.ToString("yyyy-MM-dd HH:mm'Z'", CultureInfo.InvariantCulture)}");
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
