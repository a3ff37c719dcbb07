using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;

namespace Backup.Planning;

/// <summary>Which databases are dumped, how, and on whose word: a rule for the dump itself, the policy of a volume it writes to, a label.</summary>
internal sealed class DumpPlanner(EnvironmentPolicy policy, Inventory inventory, PresetAnswers answers, List<PlanWarning> warnings)
{
    private readonly Dictionary<string, SourceRef> _names = Names(inventory);

    internal static SourceRef NameOf(ContainerFacts container, Inventory inventory) =>
        Names(inventory).GetValueOrDefault(container.Id) ?? SourceRef.Dump(container.Name);

    /// <param name="selection">The volumes that the policy selects.</param>
    internal DumpPlan Plan(Selection selection, QuiescePlanner quiescing)
    {
        var refused = new List<RefusedSource>();
        var databases = new Dictionary<SourceRef, ContainerFacts>();
        foreach (SourceRef source in selection.Selected)
            if (policy.For(source).Quiesce.Preset is { Method: not PresetMethod.Volume } preset)
            {
                List<ContainerFacts> writers = quiescing.WritersOf(source), running = [.. writers.Where(w => w.Running)];
                if (PresetChoice.Database(running.Count > 0 ? running : writers, preset.Name) is { } database) databases.Add(source, database);
                else refused.Add(Ownerless(source, preset.Name, writers));
            }

        List<DumpAsk> asks = [];
        foreach (ContainerFacts container in inventory.Containers.Where(c => _names.ContainsKey(c.Id)))
        {
            SourceRef[] volumes = [.. databases.Where(d => d.Value == container).Select(d => d.Key).Order()];
            VolumePolicy? volume = volumes.Length == 0 ? null : policy.For(volumes[0]);
            if (Ask(container, volume) is { } ask)
                asks.Add(ask with { InsteadOf = [.. volumes.Where(v => policy.For(v).Quiesce.Preset!.Method == PresetMethod.Dump)] });
        }

        List<SkippedSource> instead = [.. asks.SelectMany(a => a.InsteadOf.Select(v => new SkippedSource(v, $"its database is dumped instead, as {a.Source}")))];
        Selection volumesLeft = selection with
        {
            Selected = [.. selection.Selected.Except(instead.Select(i => i.Source))], Skipped = [.. selection.Skipped.Concat(instead).OrderBy(s => s.Source)],
        };
        return new DumpPlan([.. asks.OrderBy(a => a.Source)], volumesLeft, refused);
    }

    private static RefusedSource Ownerless(SourceRef source, string preset, List<ContainerFacts> writers) => writers.Count == 0
        ? new(source, $"the policy wants it dumped by the preset {preset}, and no container writes to it", "Start its database, or use \"method\": \"volume\".")
        : new(source, $"the policy wants it dumped by the preset {preset}, and which of {string.Join(", ", writers.Select(c => c.Name))} is that database is not known",
            $"Add the label {PresetChoice.PresetLabel}={preset} to its container.");

    private DumpAsk? Ask(ContainerFacts container, VolumePolicy? volume)
    {
        SourceRef source = _names[container.Id];
        VolumePolicy own = policy.For(source);
        QuiescePolicy? ruled = policy.Rules.FirstOrDefault(r => r.Quiesce is not null && Glob.Matches(r.Volume, source))?.Quiesce;
        PresetPolicy? said = ruled is not null ? ruled.Preset : volume?.Quiesce.Preset;
        if (ruled is not null && said is null or { Method: PresetMethod.Volume }) return null;
        // A rule may mean many by a wildcard; a volume's policy means the one that writes to it, whatever its image.
        if (ruled is not null && PresetChoice.Of(container, warnings)?.Preset.Name != said!.Name) return null;
        ChosenPreset? chosen = said is not null ? new ChosenPreset(QuiescePresets.Named(said.Name)!, said.Options, true, "policy")
            : PresetChoice.WantsDump(container) ? PresetChoice.Of(container, warnings) ?? Unknown(container)
            : null;
        if (chosen is null) return null;
        if (said is not null && volume is not null) WarnOfOtherSettings(source, own, volume);

        string by = said is not null ? $"policy: preset {chosen.Preset.Name}" : $"label {PresetChoice.DumpLabel}: preset {chosen.Preset.Name}";
        DumpMethod? method = chosen.Preset.DumpFor(chosen.Options);
        string? problem = method is null ? $"the preset {chosen.Preset.Name} has no dump"
            : container.State != "running" ? $"{container.Name} is {container.State}, and only a running database can be dumped"
            : answers.WhyNot(container, method.Check, chosen.Options);
        return new DumpAsk(source, container, chosen.Preset, method, chosen.Options, own, by, problem);
    }

    private ChosenPreset? Unknown(ContainerFacts container)
    {
        warnings.Add(new PlanWarning($"{container.Name} has the label {PresetChoice.DumpLabel}, but its image {container.Image} is not known",
            $"Add the label {PresetChoice.PresetLabel}, such as {PresetChoice.PresetLabel}=postgres."));
        return null;
    }

    /// <summary>Retention knows a dump by its name alone, so what the volume's rule says cannot hold for it. Whoever says it for the dump itself knows that.</summary>
    private void WarnOfOtherSettings(SourceRef source, VolumePolicy own, VolumePolicy volume)
    {
        RulePolicy[] rules = [.. policy.Rules.Where(r => Glob.Matches(r.Volume, source))];
        bool store = own.Store != volume.Store && rules.All(r => r.Store is null), retention = own.Retention != volume.Retention && rules.All(r => r.Retention is null);
        if (store || retention)
            warnings.Add(new PlanWarning($"{source} goes to store {own.Store} and is kept by the environment's own retention, not by what the rule for its volume says",
                $"Add a rule for it: {{ \"volume\": \"{source}\", \"store\": … , \"retention\": … }}."));
    }

    /// <summary>The name of each container's dump. It outlives the container where compose or Swarm made it.</summary>
    private static Dictionary<string, SourceRef> Names(Inventory inventory)
    {
        List<ContainerFacts> containers = [.. inventory.Containers.Where(c => c.HelperOfRun is null && c.Labels.GetValueOrDefault("com.docker.compose.oneoff") != "True")];
        var names = new Dictionary<string, SourceRef>();
        foreach (IGrouping<string, ContainerFacts> same in containers.GroupBy(Name, StringComparer.Ordinal))
            foreach (ContainerFacts container in same)
                names[container.Id] = SourceRef.Dump(same.Count() == 1 ? same.Key : container.Name);
        return names;
    }

    /// <summary>Of a service's tasks only the running one stands for it: Swarm keeps some of those that ended.</summary>
    private static string Name(ContainerFacts container) => container is { Running: true, ServiceName: { } task } ? task
        : container is not { ComposeProject: { } project, ComposeService: { } service } ? container.Name
        : container.ComposeNumber is null or "1" ? $"{project}_{service}" : $"{project}_{service}#{container.ComposeNumber}";
}

/// <param name="Volumes">What is left of the selection: without the volumes whose database is dumped instead.</param>
/// <param name="Refused">Volumes that should be dumped, and nobody knows by whom.</param>
internal sealed record DumpPlan(IReadOnlyList<DumpAsk> Asks, Selection Volumes, IReadOnlyList<RefusedSource> Refused);

/// <param name="Method">Null = its preset has none.</param>
/// <param name="Problem">Why it cannot be made; null = it can.</param>
internal sealed record DumpAsk(
    SourceRef Source, ContainerFacts Container, QuiescePreset Preset, DumpMethod? Method, PresetOptions Options, VolumePolicy Policy, string Said, string? Problem)
{
    /// <summary>Volumes that are not backed up because this is.</summary>
    internal IReadOnlyList<SourceRef> InsteadOf { get; init; } = [];

    internal RefusedSource? Refusal => Problem is null ? null : new(Source, $"{Container.Name} cannot be dumped: {Problem}", QuiescePlanner.Hint(Preset));

    /// <summary>Whoever names a volume that is dumped instead means its dump.</summary>
    internal bool IsMeantBy(string glob) => Glob.Matches(glob, Source) || InsteadOf.Any(v => Glob.Matches(glob, v));
}
