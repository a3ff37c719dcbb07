using System.Text.Json;
using System.Text.Json.Serialization;

namespace Backup.Environments.Connections;

// What is read from Portainer, member names as on the wire; almost every member may be missing.

internal sealed record PortainerError([property: JsonPropertyName("message")] string? Message, [property: JsonPropertyName("details")] string? Details);

[JsonSourceGenerationOptions(UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip)]
[JsonSerializable(typeof(PortainerError))]
internal sealed partial class PortainerJson : JsonSerializerContext;
