namespace Backup.Environments;

public enum ContainerVerb
{
    Pause,
    Unpause,
    Stop,
    Start,
}

/// <summary>Quiescing is data: one thing to do to one container.</summary>
/// <param name="StopTimeoutSeconds">For <see cref="ContainerVerb.Stop"/>: how long the engine waits before it kills; null = the container's own.</param>
public sealed record ContainerAction(ContainerVerb Verb, string ContainerId, int? StopTimeoutSeconds = null);
