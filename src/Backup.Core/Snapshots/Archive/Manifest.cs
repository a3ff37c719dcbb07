using System.Text.Json.Serialization;
using Backup.Environments;
using Backup.Stores;

namespace Backup.Snapshots.Archive;

/// <summary>The manifest, one to one with its JSON but for the self-hash, see FORMAT.md.</summary>
internal sealed record Manifest(
    string Format,
    int FormatVersion,
    string Id,
    string Environment,
    string Source,
    DateTimeOffset TakenAt,
    TarFacts Tar,
    CompressionFacts Compression,
    IReadOnlyList<StoredObject> Objects,
    QuiesceRecord Quiesce,
    VolumeFacts? Volume,
    IReadOnlyList<ConsumerRecord> Consumers,
    EngineFacts Engine,
    string ToolVersion,
    string RunId)
{
    internal const string FormatName = "backup-archive";
    internal const int Version = 1;

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DumpRecord? Dump { get; init; }

    /// <summary>Null = nobody looked at a clock.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Timing? Timing { get; init; }

    internal ArchiveKeys Keys() => ArchiveKeys.Of(Environment, Source, TakenAt, Id);

    internal StoredObject Data() => Objects[0];
    internal StoredObject Index() => Objects[1];

    internal SnapshotRecord Record() => new(Id, Environment, Source, TakenAt, Volume, Consumers, Engine, Quiesce, ToolVersion, RunId) { Dump = Dump };

    /// <param name="manifestSize">Bytes of the manifest itself.</param>
    internal Snapshot Snapshot(string store, long manifestSize) =>
        new(Id, Environment, Source, TakenAt, "archive", store, Tar.Bytes, Objects.Sum(o => o.Size) + manifestSize, Tar.Files, Tar.Sha256, Quiesce.Consistency)
        {
            DowntimeSeconds = Quiesce.DowntimeSeconds,
            ReadSeconds = Timing?.ReadSeconds,
            Seconds = Timing?.Seconds,
        };
}

/// <param name="ReadSeconds">How long the source was waited for: the least that a read of it takes.</param>
/// <param name="Seconds">From the beginning of the read until data and index were in the store.</param>
internal sealed record Timing(double ReadSeconds, double Seconds);

/// <param name="Bytes">Size of the tar.</param>
/// <param name="Sha256">Of the tar, lower-case hex.</param>
/// <param name="Entries">All entries.</param>
/// <param name="Files">Entries that are not directories.</param>
internal sealed record TarFacts(long Bytes, string Sha256, long Entries, long Files);

/// <param name="FrameBytes">Tar bytes in each frame but the last.</param>
internal sealed record CompressionFacts(string Method, int Level, int FrameBytes, int Frames);

internal sealed record StoredObject(string Key, long Size, string Sha256, IReadOnlyList<ObjectPart> Parts)
{
    internal static StoredObject Of(string key, ObjectReceipt receipt) => new(key, receipt.Size, receipt.Sha256, receipt.Parts);
}

/// <summary>See FORMAT.md, "Markers".</summary>
/// <param name="Runs"><c>making</c> or <c>removing</c>.</param>
internal sealed record Marker(string Format, int FormatVersion, DateTimeOffset WrittenAt, string Runs, IReadOnlyList<string> Keys)
{
    internal const string FormatName = "backup-marker";

    internal static Task WriteAsync(IObjectStore store, ArchiveKeys keys, string runs, DateTimeOffset now, CancellationToken cancel) =>
        store.PutAsync(keys.Marker, ManifestJson.Write(new Marker(FormatName, 1, now, runs, keys.Owned)), cancel);
}
