using System.Text.Json.Nodes;
using Backup.Tests.Environments;
using Backup.Tests.Running;

namespace Backup.Tests.Databases;

/// <summary>An installation whose volume holds a real database, which somebody writes to all the time.</summary>
public sealed class DatabaseScope(EngineFixture engine) : IAsyncDisposable
{
    public RunningScope Running { get; } = new(engine);
    public EngineScope Engine => Running.Engine;

    public Task<DatabaseContainer> StartAsync(DatabaseKind kind, string? volume = null, IReadOnlyDictionary<string, string>? variables = null, IReadOnlyDictionary<string, string>? labels = null, string? name = null) =>
        DatabaseContainer.StartAsync(Engine, kind, volume, variables, labels, name);

    /// <summary>The rule that asks for a preset by name.</summary>
    public void Preset(DatabaseContainer database, string preset, string method = "volume", params (string Key, JsonNode Value)[] options)
    {
        var quiesce = new JsonObject { ["preset"] = preset, ["method"] = method, ["timeout"] = "20s" };
        foreach ((string key, JsonNode value) in options) quiesce[key] = value;
        Running.Rule(database.Volume, "quiesce", quiesce);
    }

    public ValueTask DisposeAsync() => Running.DisposeAsync();
}
