using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Security.Cryptography;

namespace Backup.Snapshots.Archive;

/// <summary>Writes and reads manifests and markers. What cannot be trusted is a <see cref="FormatException"/> that says why, in words that fit after "it".</summary>
internal static class ManifestJson
{
    private static readonly byte[] HashLine = Encoding.ASCII.GetBytes("  \"manifestSha256\": \"");
    private const int HashLength = 64;
    private static ReadOnlySpan<byte> Ending => "\"\n}\n"u8;

    internal static byte[] Write(Manifest manifest)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(manifest, ArchiveJson.Readable.Manifest);
        // The serializer ends with "\n}"; the hash line takes the place of the brace.
        using var bytes = new MemoryStream();
        bytes.Write(json.AsSpan(0, json.Length - 2));
        bytes.Write(",\n"u8);
        byte[] hash = SHA256.HashData(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
        bytes.Write(HashLine);
        bytes.Write(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(hash)));
        bytes.Write(Ending);
        return bytes.ToArray();
    }

    internal static byte[] Write(Marker marker) => JsonSerializer.SerializeToUtf8Bytes(marker, ArchiveJson.Readable.Marker);

    /// <summary>The whole manifest.</summary>
    internal static Manifest Read(ReadOnlySpan<byte> bytes, ArchiveKeys keys)
    {
        ReadSummary(bytes, keys, "");
        try
        {
            Manifest manifest = JsonSerializer.Deserialize(bytes, ArchiveJson.Readable.Manifest)!;
            if (manifest.Consumers is null || manifest.Engine is null || manifest.Compression is null || manifest.Quiesce?.Windows is null
                || manifest.Compression.FrameBytes is < 512 or > 256 << 20)
                throw new FormatException("lacks facts that every manifest has");
            return manifest;
        }
        catch (JsonException e)
        {
            throw new FormatException("is not a manifest: " + e.Message, e);
        }
    }

    internal static Marker? ReadMarker(ReadOnlySpan<byte> bytes)
    {
        try
        {
            Marker? marker = JsonSerializer.Deserialize(bytes, ArchiveJson.Readable.Marker);
            return marker is { Format: Marker.FormatName, FormatVersion: 1, Keys: not null } ? marker : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Proves the self-hash and that the manifest belongs to its key, and reads only what a listing shows: this runs thousands of times.</summary>
    internal static ManifestSummary ReadSummary(ReadOnlySpan<byte> bytes, ArchiveKeys keys, string store)
    {
        CheckHash(bytes);
        try
        {
            ManifestSummary summary = Summarise(bytes, store);
            if (ArchiveKeys.Of(summary.Snapshot).Stem != keys.Stem)
                throw new FormatException($"belongs to another key: it was made as {ArchiveKeys.Of(summary.Snapshot).Manifest}");
            if (summary.DataKey != keys.Data || summary.IndexKey != keys.Index) throw new FormatException("names objects that are not its own");
            return summary;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException or OverflowException)
        {
            throw new FormatException("is not a manifest: " + e.Message, e);
        }
    }

    private static void CheckHash(ReadOnlySpan<byte> bytes)
    {
        int line = bytes.Length - HashLine.Length - HashLength - Ending.Length;
        if (line < 2 || !bytes[line..].StartsWith(HashLine) || !bytes.EndsWith(Ending))
            throw new FormatException("does not end with its own hash: it was cut or changed");
        Span<byte> hash = stackalloc byte[32];
        Span<byte> stored = stackalloc byte[32];
        SHA256.HashData(bytes[..line], hash);
        if (Convert.FromHexString(bytes.Slice(line + HashLine.Length, HashLength), stored, out _, out _) != System.Buffers.OperationStatus.Done || !hash.SequenceEqual(stored))
            throw new FormatException("does not match its own hash: it was changed after it was written");
    }

    private static ManifestSummary Summarise(ReadOnlySpan<byte> bytes, string store)
    {
        string? format = null, id = null, environment = null, source = null, sha = null, consistency = null;
        int version = 0;
        long tarBytes = -1, files = -1;
        double downtime = 0;
        double? read = null, seconds = null;
        DateTimeOffset? takenAt = null;
        List<(string? Key, long Size)> objects = [];
        var json = new Utf8JsonReader(bytes);
        json.Read();
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("format"u8)) format = String(ref json);
            else if (json.ValueTextEquals("formatVersion"u8)) { json.Read(); version = json.GetInt32(); }
            else if (json.ValueTextEquals("id"u8)) id = String(ref json);
            else if (json.ValueTextEquals("environment"u8)) environment = String(ref json);
            else if (json.ValueTextEquals("source"u8)) source = String(ref json);
            else if (json.ValueTextEquals("takenAt"u8)) { json.Read(); takenAt = Rfc3339.Parse(json.GetString()); }
            else if (json.ValueTextEquals("tar"u8))
            {
                json.Read();
                while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
                {
                    if (json.ValueTextEquals("bytes"u8)) { json.Read(); tarBytes = json.GetInt64(); }
                    else if (json.ValueTextEquals("files"u8)) { json.Read(); files = json.GetInt64(); }
                    else if (json.ValueTextEquals("sha256"u8)) sha = String(ref json);
                    else json.Skip();
                }
            }
            else if (json.ValueTextEquals("quiesce"u8))
            {
                json.Read();
                while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
                {
                    if (json.ValueTextEquals("consistency"u8)) consistency = String(ref json);
                    else if (json.ValueTextEquals("downtimeSeconds"u8)) { json.Read(); downtime = json.GetDouble(); }
                    else json.Skip();
                }
            }
            else if (json.ValueTextEquals("timing"u8))
            {
                json.Read();
                while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
                {
                    if (json.ValueTextEquals("readSeconds"u8)) { json.Read(); read = json.GetDouble(); }
                    else if (json.ValueTextEquals("seconds"u8)) { json.Read(); seconds = json.GetDouble(); }
                    else json.Skip();
                }
            }
            else if (json.ValueTextEquals("objects"u8))
            {
                json.Read();
                while (json.Read() && json.TokenType == JsonTokenType.StartObject)
                {
                    (string? Key, long Size) found = (null, -1);
                    while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
                    {
                        if (json.ValueTextEquals("key"u8)) found.Key = String(ref json);
                        else if (json.ValueTextEquals("size"u8)) { json.Read(); found.Size = json.GetInt64(); }
                        else json.Skip();
                    }
                    objects.Add(found);
                }
            }
            else json.Skip();
        }
        if (format != Manifest.FormatName) throw new FormatException("is not a manifest of an archive");
        if (version != Manifest.Version)
            throw new FormatException($"was made by a newer version of backup (format {version}; this one reads {Manifest.Version}): update this program");
        if (id is null || environment is null || source is null || sha is null || consistency is null || takenAt is null || tarBytes < 0 || files < 0
            || objects.Count != 2 || objects.Any(o => o.Key is null || o.Size < 0))
            throw new FormatException("lacks facts that every manifest has");
        var snapshot = new Snapshot(id, environment, source, takenAt.Value, "archive", store, tarBytes, objects.Sum(o => o.Size) + bytes.Length, files, sha, consistency)
        {
            DowntimeSeconds = downtime,
            ReadSeconds = read,
            Seconds = seconds,
        };
        return new ManifestSummary(snapshot, objects[0].Key!, objects[0].Size, objects[1].Key!, objects[1].Size);
    }

    private static string? String(ref Utf8JsonReader json)
    {
        json.Read();
        return json.GetString();
    }
}

internal sealed record ManifestSummary(Snapshot Snapshot, string DataKey, long DataSize, string IndexKey, long IndexSize);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(Manifest))]
[JsonSerializable(typeof(Marker))]
internal sealed partial class ArchiveJson : JsonSerializerContext
{
    internal static ArchiveJson Readable { get; } = new(new JsonSerializerOptions
    {
        WriteIndented = true,
        NewLine = "\n",
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        // Names of volumes and containers stay readable in any script; the file is never embedded in HTML.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new Rfc3339() },
    });
}

/// <summary>Times in UTC with a trailing Z, at full precision.</summary>
internal sealed class Rfc3339 : JsonConverter<DateTimeOffset>
{
    internal static DateTimeOffset Parse(string? text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTimeOffset time)
            ? time : throw new JsonException($"'{text}' is not a time");

    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options) => Parse(reader.GetString());

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture));
}
