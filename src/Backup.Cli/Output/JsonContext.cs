using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Backup.Cli.Output;

[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(SnapshotJson[]))]
[JsonSerializable(typeof(FileJson[]))]
[JsonSerializable(typeof(StatusJson[]))]
[JsonSerializable(typeof(CheckJson[]))]
[JsonSerializable(typeof(UnitJson[]))]
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(PlanJson))]
[JsonSerializable(typeof(RestorePlanJson))]
[JsonSerializable(typeof(EnvironmentStartedJson))]
[JsonSerializable(typeof(VolumeStartedJson))]
[JsonSerializable(typeof(VolumeProgressJson))]
[JsonSerializable(typeof(VolumeSkippedJson))]
[JsonSerializable(typeof(VolumeFailedJson))]
[JsonSerializable(typeof(SnapshotMadeJson))]
[JsonSerializable(typeof(ContainerJson))]
[JsonSerializable(typeof(SnapshotRemovedJson))]
[JsonSerializable(typeof(StepJson))]
[JsonSerializable(typeof(ProblemEventJson))]
[JsonSerializable(typeof(RunReportJson))]
[JsonSerializable(typeof(RestoreReportJson))]
[JsonSerializable(typeof(VerifyReportJson))]
[JsonSerializable(typeof(PruneReportJson))]
[JsonSerializable(typeof(RecoverReportJson))]
internal sealed partial class JsonContext : JsonSerializerContext
{
    /// <summary>Camel case; names of files and volumes stay readable, because the output goes to no web page.</summary>
    public static JsonContext Readable { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new UtcTimes() },
    });
}

/// <summary>RFC 3339 in UTC with all the digits there are, so that <c>ENV/VOLUME@TIME</c> with a printed time finds that very snapshot.</summary>
internal sealed class UtcTimes : JsonConverter<DateTimeOffset>
{
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture));
}
