using Backup.Environments;

namespace Backup.Planning;

/// <summary>Whose mounts can write to a source, also by another name for the same place on the host.</summary>
/// <param name="volumes">Of the engine; their options tell which of them are bind mounts in disguise.</param>
internal sealed class Writers(IReadOnlyList<VolumeFacts> volumes)
{
    internal bool Writes(IReadOnlyList<MountFacts> mounts, SourceRef source)
    {
        string? path = HostPath(source);
        return mounts.Any(m => m.Writable && (m.Kind, source.Kind) switch
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
        VolumeFacts? volume = volumes.FirstOrDefault(v => v.Name == source.Name);
        bool bound = volume is { Driver: "local" } && volume.Options.GetValueOrDefault("o", "").Split(',').Any(o => o is "bind" or "rbind");
        return bound && volume!.Options.TryGetValue("device", out string? device) && device.StartsWith('/') ? SourceRef.Bind(device).Name : null;
    }

    private static bool Overlap(string? one, string? other) =>
        one is not null && other is not null && (one == other || Inside(one, other) || Inside(other, one));

    private static bool Inside(string path, string folder) => path.StartsWith(folder == "/" ? "/" : folder + "/", StringComparison.Ordinal);
}
