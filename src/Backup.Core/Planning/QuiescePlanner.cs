using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;

namespace Backup.Planning;

/// <summary>Who is held back while the sources of a group are read, how, and in which order.</summary>
internal sealed class QuiescePlanner(Inventory inventory, PresetAnswers answers, List<PlanWarning> warnings)
{
    /// <summary>Added to the patience of a preset's script, which ends by itself.</summary>
    private static readonly TimeSpan ScriptMargin = TimeSpan.FromSeconds(15);

    internal const string ModeLabel = "backup.quiesce", BeforeLabel = "backup.before", AfterLabel = "backup.after";

    private readonly Dependencies _dependencies = new(inventory.Containers);
    private readonly Writers _writers = new(inventory.Volumes);
    private readonly Scaling _scaling = new(inventory);

    internal List<ContainerFacts> WritersOf(SourceRef source) => [.. inventory.Containers.Where(c => c.HelperOfRun is null && _writers.Writes(c.Mounts, source))];

    /// <summary>What one source by itself asks for.</summary>
    /// <exception cref="PresetException">A preset that was asked for by name cannot run.</exception>
    internal VolumeAsk Ask(VolumeStep step)
    {
        List<ContainerFacts> writers = WritersOf(step.Source);
        List<ContainerFacts> running = [.. writers.Where(c => c.Running)];
        (string, string)? atRest = running.Count > 0 ? null
            : writers.Any(c => c.State == "paused") ? ("pause", "the containers that write to it are paused already")
            : ("stop", "no running container writes to it");
        step = step with { Writers = [.. running.Select(c => c.Id)] };
        ContainerFacts? database = null;
        if (step.Policy.Quiesce.Preset is { } preset && running.Count > 0)
            database = PresetChoice.Database(running, preset.Name) ?? throw new PresetException(
                $"the policy wants the preset {preset.Name}, and which of {string.Join(", ", running.Select(c => c.Name))} is that database is not known",
                $"Add the label {PresetChoice.PresetLabel}={preset.Name} to its container.");
        return new VolumeAsk(step, [.. running.Select(c => Step(c, step.Policy.Quiesce, c == database))], Projects(step, writers), atRest);
    }

    /// <summary>Who only reads a source does not draw it into his project, unless nobody else does.</summary>
    private IReadOnlyList<Project> Projects(VolumeStep step, List<ContainerFacts> writers)
    {
        List<Project> projects = [.. Project.Of(step.Facts?.Labels), .. writers.SelectMany(c => Project.Of(c.Labels))];
        if (projects.Count == 0) projects = [.. inventory.Containers.Where(c => step.Consumers.Any(r => r.Id == c.Id)).SelectMany(c => Project.Of(c.Labels))];
        return [.. projects.Distinct()];
    }

    /// <summary>Each container once, in the strongest way that any source of the group asks for.</summary>
    internal GroupStep Plan(AskedGroup group)
    {
        IReadOnlyList<QuiesceStep> order = _dependencies.Arrange(Scaling.Fold(group.Volumes.SelectMany(v => v.Writers).Where(w => w.DoesSomething)
            .GroupBy(w => w.Container.Id).Select(g => Strongest([.. g]))));
        IReadOnlyList<VolumeStep> volumes = [.. group.Volumes.Select(v => Volume(v, order)).OrderBy(v => v.Quiesce.Count == 0)];
        return new GroupStep(group.Name, group.Why, volumes, order);
    }

    private VolumeStep Volume(VolumeAsk ask, IReadOnlyList<QuiesceStep> order)
    {
        if (ask.AtRest is var (consistency, note)) return ask.Step with { Consistency = consistency, Note = note };
        // A source that asks for nobody is read when the others' containers are back.
        List<QuiesceStep> own = ask.Holds ? [.. order.Where(s => ask.Writers.Any(w => s.Holds(w.Container)))] : [];
        List<string> idle = [.. ask.Writers.Select(w => w.Container)
            .Where(c => own.Find(s => s.Holds(c)) is not { } held || (held.Mode == QuiesceMode.None && held.Hooks.All(h => h.Before is null)))
            .Select(c => c.Name).Order(StringComparer.Ordinal)];
        if (idle.Except(ask.Writers.Where(w => w.Harmless).Select(w => w.Container.Name)).Any())
            warnings.Add(new PlanWarning($"{ask.Step.Source} is read while {string.Join(", ", idle)} may write to it",
                "Use \"quiesce\": \"pause\" or \"stop\", or hooks, unless its files stay good when they are copied in mid-write."));
        return ask.Step with { Quiesce = own, Consistency = idle.Count > 0 ? "none" : Consistency(own) };
    }

    private static QuiesceStep Strongest(IReadOnlyList<QuiesceStep> asked)
    {
        QuiesceMode mode = asked.Max(a => a.Mode);
        return new QuiesceStep(asked[0].Container, mode, [.. asked.SelectMany(a => a.Hooks).Distinct(SameHook.Instance)],
            string.Join("; ", asked.OrderByDescending(a => a.Mode).Where(a => a.Mode == mode || a.Hooks.Count > 0).Select(a => a.Reason).Distinct()))
        {
            Service = asked.Select(a => a.Service).FirstOrDefault(s => s is not null),
        };
    }

    private static string Consistency(List<QuiesceStep> steps) =>
        steps.Any(s => s.Mode == QuiesceMode.None) ? "hook"
        : steps.All(s => s.Mode == QuiesceMode.Stop) ? "stop"
        : "pause";

    private QuiesceStep Step(ContainerFacts container, QuiescePolicy policy, bool database)
    {
        if (database) return Preset(container, new ChosenPreset(QuiescePresets.Named(policy.Preset!.Name)!, policy.Preset.Options, true, $"policy: preset {policy.Preset.Name}"));
        bool labelled = container.Labels.ContainsKey(ModeLabel) || container.Labels.ContainsKey(BeforeLabel) || container.Labels.ContainsKey(AfterLabel);
        if (policy.Auto && !labelled && PresetChoice.Of(container, warnings) is { } chosen) return Preset(container, chosen);

        string said;
        QuiesceMode mode;
        IReadOnlyList<string>? before = policy.Before, after = policy.After;
        if (policy.Auto)
        {
            (mode, said) = FromLabels(container);
            before = Shell(container, BeforeLabel);
            after = Shell(container, AfterLabel);
        }
        else
        {
            (mode, said) = (policy.Then, before is null && after is null ? $"policy: {Word(policy.Then)}" : $"policy: hooks, then {Word(policy.Then)}");
        }

        IReadOnlyList<Hook> hooks = before is null && after is null ? [] : [new Hook(before, after, policy.HookTimeout)];
        ServiceFacts? service = null;
        if (mode != QuiesceMode.None && container.CarriesConnection)
            (mode, said) = (QuiesceMode.None, "part of Portainer: never held, because the connection leads through it");
        else if (mode == QuiesceMode.Stop && container.SwarmTask && (hooks.Count > 0 ? "its hooks could not run in the task that comes back" : _scaling.WhyNot(container)) is { } why)
            (mode, said) = (QuiesceMode.Pause, Scaling.Paused(why));
        else if (mode == QuiesceMode.Stop && container.SwarmTask)
            (service, said) = (_scaling.ServiceOf(container)!, $"{said}; a swarm service: scaled from {_scaling.ServiceOf(container)!.Replicas} to 0 and back");
        else if (mode == QuiesceMode.Stop && container.AutoRemove)
            (mode, said) = (QuiesceMode.Pause, "started with --rm: paused instead of stopped, because a stop would delete it");
        return new QuiesceStep(container, mode, hooks, said) { Service = service };
    }

    private QuiesceStep Preset(ContainerFacts container, ChosenPreset chosen)
    {
        QuiescePreset preset = chosen.Preset;
        if (answers.WhyNot(container, preset.Check, chosen.Options) is { } problem)
        {
            if (chosen.Explicit) throw new PresetException($"the preset {preset.Name} cannot run in {container.Name}: {problem}", Hint(preset));
            var warning = new PlanWarning($"the preset {preset.Name} cannot run in {container.Name}: {problem}", $"It is only paused. {Hint(preset)} Or say \"quiesce\": \"pause\".");
            if (!warnings.Contains(warning)) warnings.Add(warning);
            return new QuiesceStep(container, QuiesceMode.Pause, [], $"auto: pause, because the preset {preset.Name} cannot run");
        }
        var hook = new Hook(preset.Before?.Command(chosen.Options), preset.After?.Command(chosen.Options), chosen.Options.Patience + ScriptMargin)
        {
            Session = preset.Session?.Command(chosen.Options), Proves = true,
        };
        return new QuiesceStep(container, preset.Mode, hook.Before is null && hook.After is null ? [] : [hook], chosen.Said) { Harmless = preset.Mode == QuiesceMode.None };
    }

    internal static string Hint(QuiescePreset preset) => preset.Takes.Contains("passwordFile")
        ? "Its user and password are read from the image's own variables, or as \"user\" and \"passwordFile\" of the preset say."
        : "Look at the container's log.";

    private (QuiesceMode, string) FromLabels(ContainerFacts container)
    {
        if (!container.Labels.TryGetValue(ModeLabel, out string? text))
            return container.Labels.ContainsKey(BeforeLabel)
                ? (QuiesceMode.None, $"label {BeforeLabel}")
                : (QuiesceMode.Pause, "auto: pause");
        switch (text.Trim().ToLowerInvariant())
        {
            case "none": return (QuiesceMode.None, $"label {ModeLabel}: none");
            case "pause": return (QuiesceMode.Pause, $"label {ModeLabel}: pause");
            case "stop": return (QuiesceMode.Stop, $"label {ModeLabel}: stop");
        }
        var warning = new PlanWarning($"{container.Name} has the label {ModeLabel}={text}, which is none of none, pause, stop", "It is paused. Correct the label.");
        if (!warnings.Contains(warning)) warnings.Add(warning);
        return (QuiesceMode.Pause, "auto: pause");
    }

    private static IReadOnlyList<string>? Shell(ContainerFacts container, string label) =>
        container.Labels.TryGetValue(label, out string? text) && text.Trim().Length > 0 ? ["/bin/sh", "-c", text] : null;

    private static string Word(QuiesceMode mode) => mode.ToString().ToLowerInvariant();

    /// <summary>Two volumes that inherit the same commands ask for them once.</summary>
    private sealed class SameHook : IEqualityComparer<Hook>
    {
        internal static SameHook Instance { get; } = new();

        public bool Equals(Hook? x, Hook? y) => x is not null && y is not null && Words(x) == Words(y);
        public int GetHashCode(Hook hook) => Words(hook).GetHashCode(StringComparison.Ordinal);

        private static string Words(Hook hook) => string.Join('\0', [.. hook.Session ?? [], "\n", .. hook.Before ?? [], "\n", .. hook.After ?? []]);
    }
}
