using System.Text.Json.Serialization;
using Backup.Environments;

namespace Backup.Quiescing;

public enum UndoKind
{
    Unpause,
    Start,
    /// <summary>Scale a Swarm service back to its count.</summary>
    Scale,
    /// <summary>Run the <c>after</c> hook.</summary>
    Exec,
    /// <summary>Nothing to undo in a container: helper containers of this run may be left on the engine.</summary>
    RemoveHelpers,
}

/// <summary>One thing that must be undone, as it stands in the journal before the thing is done.</summary>
/// <param name="Run">The run that did it; also the label of its helpers.</param>
/// <param name="Container">Null for <see cref="UndoKind.RemoveHelpers"/> and <see cref="UndoKind.Scale"/>.</param>
/// <param name="Restore">
/// Set when the container was stopped for a restore into this source: once the old content is being removed, the container must not come back
/// over half a volume by itself.
/// </param>
public sealed record UndoEntry(
    string Id,
    string Run,
    string Environment,
    UndoKind Kind,
    HeldContainer? Container,
    IReadOnlyList<string>? Command,
    double? TimeoutSeconds,
    DateTimeOffset At,
    string? Restore)
{
    /// <summary>For <see cref="UndoKind.Exec"/>: the engine's id of the before hook, whose end the after hook waits for.</summary>
    public string? BeforeExec { get; init; }

    /// <summary>For <see cref="UndoKind.Scale"/>, else null.</summary>
    public HeldService? Service { get; init; }

    /// <summary>Of who is held; empty for <see cref="UndoKind.RemoveHelpers"/>.</summary>
    [JsonIgnore]
    public string Name => Service?.Name ?? Container?.Name ?? "";
}

/// <param name="Replicas">The count it had.</param>
public sealed record HeldService(string Id, string Name, long Replicas);

/// <summary>Enough to find a container again, also when it was recreated meanwhile, and to see that a person restarted it.</summary>
public sealed record HeldContainer(string Id, string Name, string StartedAt, string? ComposeProject, string? ComposeService, string? ComposeNumber)
{
    public static HeldContainer Of(ContainerFacts facts) =>
        new(facts.Id, facts.Name, facts.StartedAt, facts.ComposeProject, facts.ComposeService, facts.ComposeNumber);
}

/// <summary>A line of the journal: exactly one of the three is set.</summary>
/// <param name="Undo">This must be undone.</param>
/// <param name="Done">The entry with this id was undone, or this broken target is whole again.</param>
/// <param name="Broken">From here on the content of this restore target (<c>environment/source</c>) is incomplete.</param>
internal sealed record JournalLine(UndoEntry? Undo, string? Done, string? Broken);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(JournalLine))]
internal sealed partial class JournalJson : JsonSerializerContext;
