using Backup.Environments;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>
/// Driver options can hold passwords (<c>o: username=x,password=y</c> of a CIFS volume). They do not go into manifests; a restore that would
/// need one says so.
/// </summary>
internal static class DriverSecrets
{
    private static readonly string[] Words = ["password", "passwd", "pass", "secret", "token", "credentials"];

    internal static VolumeFacts Redact(VolumeFacts volume) =>
        volume with { Options = volume.Options.ToDictionary(o => o.Key, o => IsSecret(o.Key) ? SnapshotRecord.Redacted : Redact(o.Value)) };

    /// <summary>The option that was left out, or null.</summary>
    internal static string? LeftOut(VolumeFacts volume) =>
        volume.Options.Where(o => o.Value.Contains(SnapshotRecord.Redacted, StringComparison.Ordinal)).Select(o => o.Key).FirstOrDefault();

    private static string Redact(string value) =>
        string.Join(',', value.Split(',').Select(part => part.IndexOf('=') is var at and > 0 && IsSecret(part[..at])
            ? $"{part[..at]}={SnapshotRecord.Redacted}"
            : part));

    private static bool IsSecret(string name) => Words.Contains(name.Trim(), StringComparer.OrdinalIgnoreCase);
}
