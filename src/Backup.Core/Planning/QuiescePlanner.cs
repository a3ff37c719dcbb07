using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <param name="Note">See <see cref="VolumeStep.Note"/>.</param>
internal sealed record QuiescePlan(IReadOnlyList<QuiesceStep> Steps, string Consistency, string? Note);

/// <summary>Who is held back while one source is read, how, and in which order.</summary>
internal sealed class QuiescePlanner(Inventory inventory, List<PlanWarning> warnings)
{
    internal const string ModeLabel = "backup.quiesce", BeforeLabel = "backup.before", AfterLabel = "backup.after";

    internal QuiescePlan Plan(SourceRef source, QuiescePolicy policy)
    {
        List<ContainerFacts> writers = [.. inventory.Containers.Where(c => c.HelperOfRun is null && Writes(c, source))];
        List<ContainerFacts> running = [.. writers.Where(c => c.Running)];
        if (running.Count == 0)
            return writers.Any(c => c.State == "paused")
                ? new QuiescePlan([], "pause", "the containers that write to it are paused already")
                : new QuiescePlan([], "stop", "no running container writes to it");

        List<QuiesceStep> steps = [.. ComposeOrder.DependentsFirst(running).Select(c => Step(c, policy))];
        List<QuiesceStep> idle = [.. steps.Where(s => s.Mode == QuiesceMode.None && s.Before is null)];
        if (idle.Count > 0)
        {
            string names = string.Join(", ", idle.Select(s => s.Container.Name));
            warnings.Add(new PlanWarning($"{source} is read while {names} may write to it",
                "Use \"quiesce\": \"pause\" or \"stop\", or hooks, unless its files stay good when they are copied in mid-write."));
        }
        // A step that does nothing is only worth doing for its After.
        return new QuiescePlan([.. steps.Where(s => s.Mode != QuiesceMode.None || s.Before is not null || s.After is not null)], Consistency(steps, idle), null);
    }

    private static string Consistency(List<QuiesceStep> steps, List<QuiesceStep> idle) =>
        idle.Count > 0 ? "none"
        : steps.Any(s => s.Mode == QuiesceMode.None) ? "hook"
        : steps.All(s => s.Mode == QuiesceMode.Stop) ? "stop"
        : "pause";

    private bool Writes(ContainerFacts container, SourceRef source)
    {
        string? path = HostPath(source);
        return container.Mounts.Any(m => m.Writable && (m.Kind, source.Kind) switch
        {
            ("volume", SourceKind.Volume) when m.Source == source.Name => true,
            ("volume", _) => Overlap(path, HostPath(SourceRef.Volume(m.Source))),
            ("bind", _) => Overlap(path, SourceRef.Bind(m.Source).Name),
            _ => false,
        });
    }

    /// <summary>The host directory behind a source where the facts tell it: a bind mount, or a local volume that is one in disguise.</summary>
    private string? HostPath(SourceRef source)
    {
        if (source.Kind == SourceKind.Bind) return source.Name;
        VolumeFacts? volume = inventory.Volumes.FirstOrDefault(v => v.Name == source.Name);
        bool bound = volume is { Driver: "local" } && volume.Options.GetValueOrDefault("o", "").Split(',').Any(o => o is "bind" or "rbind");
        return bound && volume!.Options.TryGetValue("device", out string? device) && device.StartsWith('/') ? SourceRef.Bind(device).Name : null;
    }

    private static bool Overlap(string? one, string? other) =>
        one is not null && other is not null && (one == other || Inside(one, other) || Inside(other, one));

    private static bool Inside(string path, string folder) => path.StartsWith(folder == "/" ? "/" : folder + "/", StringComparison.Ordinal);

    private QuiesceStep Step(ContainerFacts container, QuiescePolicy policy)
    {
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

        if (mode == QuiesceMode.Stop && container.SwarmTask)
            (mode, said) = (QuiesceMode.Pause, "swarm task: paused instead of stopped, because the swarm would replace it");
        else if (mode == QuiesceMode.Stop && container.AutoRemove)
            (mode, said) = (QuiesceMode.Pause, "started with --rm: paused instead of stopped, because a stop would delete it");
        return new QuiesceStep(container, mode, before, after, policy.HookTimeout, said);
    }

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
}
