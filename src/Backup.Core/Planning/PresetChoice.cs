using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;

namespace Backup.Planning;

/// <summary>The preset of one container, and who chose it.</summary>
/// <param name="Explicit">A person asked for it by name; where it cannot run, that is a failure and not a reason to do something else.</param>
/// <param name="Said">Such as "policy: preset postgres" or "image postgres:16: preset postgres".</param>
internal sealed record ChosenPreset(QuiescePreset Preset, PresetOptions Options, bool Explicit, string Said);

/// <summary>Which preset a container gets by its labels, else by its image.</summary>
internal static class PresetChoice
{
    internal const string PresetLabel = "backup.preset", DumpLabel = "backup.dump",
        UserLabel = "backup.preset.user", PasswordFileLabel = "backup.preset.password-file", DatabasesLabel = "backup.preset.databases", FilesLabel = "backup.preset.files";

    /// <summary>Null = none is known, or the label says <c>none</c>, or it names one that does not exist, which is a warning.</summary>
    internal static ChosenPreset? Of(ContainerFacts container, List<PlanWarning> warnings)
    {
        string? label = Label(container, PresetLabel);
        if (label is null or "none")
            return label is null && QuiescePresets.ForImage(container.Image) is { } known
                ? new ChosenPreset(known, Options(container), false, $"image {container.Image}: preset {known.Name}") : null;
        if (QuiescePresets.Named(label) is { } named) return new ChosenPreset(named, Options(container), true, $"label {PresetLabel}: preset {named.Name}");
        var warning = new PlanWarning($"{container.Name} has the label {PresetLabel}={label}, and there is no such preset",
            $"Use one of {string.Join(", ", QuiescePresets.All.Select(p => p.Name))}, or none.");
        if (!warnings.Contains(warning)) warnings.Add(warning);
        return null;
    }

    /// <summary>Its label asks for a dump.</summary>
    internal static bool WantsDump(ContainerFacts container) => Label(container, DumpLabel) is "true" or "1" or "yes";

    /// <summary>
    /// Of those that write to a volume, the one that the policy's preset means: the only one, or the only one that is known as such a database.
    /// </summary>
    internal static ContainerFacts? Database(IReadOnlyList<ContainerFacts> writers, string preset)
    {
        if (writers is [var only]) return only;
        List<ContainerFacts> known = [.. writers.Where(w => (Label(w, PresetLabel) ?? QuiescePresets.ForImage(w.Image)?.Name) == preset)];
        return known is [var one] ? one : null;
    }

    private static PresetOptions Options(ContainerFacts container) => PresetOptions.Default with
    {
        User = Label(container, UserLabel),
        PasswordFile = Label(container, PasswordFileLabel),
        Databases = List(container, DatabasesLabel),
        Files = List(container, FilesLabel),
    };

    private static string? Label(ContainerFacts container, string label) =>
        container.Labels.TryGetValue(label, out string? text) && text.Trim().Length > 0 ? text.Trim() : null;

    private static IReadOnlyList<string> List(ContainerFacts container, string label) =>
        Label(container, label)?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
}
