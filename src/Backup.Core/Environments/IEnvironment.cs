namespace Backup.Environments;

/// <summary>
/// One Docker engine, however it is reached. Expected failures are <see cref="EnvironmentException"/>; cancellation passes untouched.
/// Implementations are safe for use by several tasks at once.
/// </summary>
public interface IEnvironment : IAsyncDisposable
{
    /// <summary>The name the policy gives it.</summary>
    string Name { get; }

    /// <summary>Reads the engine's volumes and containers. Our own helper containers are in the list, marked by their label.</summary>
    Task<Inventory> InspectAsync(CancellationToken cancel);

    /// <summary>One container now, by id or name; null when there is none.</summary>
    Task<ContainerFacts?> FindContainerAsync(string idOrName, CancellationToken cancel);

    /// <summary>All containers now, with no more facts than one cheap call of the engine tells.</summary>
    Task<IReadOnlyList<ContainerSight>> ListContainersAsync(CancellationToken cancel);

    /// <summary>Pauses, unpauses, stops or starts. Already being in the wanted state counts as success.</summary>
    Task ActAsync(ContainerAction action, CancellationToken cancel);

    /// <summary>One service of the swarm now, by id; null when there is none. Needs a manager of the swarm.</summary>
    Task<ServiceFacts?> FindServiceAsync(string id, CancellationToken cancel);

    /// <summary>
    /// Gives a replicated service another count of tasks, and changes nothing else of it. Scaled to 0, it returns when none of its tasks runs on this
    /// engine any more, and the manager has heard of it; scaled up, before the new ones run.
    /// </summary>
    /// <returns>False, with nothing changed, when the service does not have the count <paramref name="from"/> any more.</returns>
    Task<bool> ScaleAsync(string serviceId, long from, long to, CancellationToken cancel);

    /// <summary>Makes a command ready to run in a running container. Nothing of it runs yet, so that its id can be written down before.</summary>
    Task<IPreparedExec> PrepareExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel);

    /// <summary>Whether a command still runs, also one of a process that died; false when it ended, or the engine does not know it any more.</summary>
    Task<bool> ExecRunsAsync(string execId, CancellationToken cancel);

    /// <summary>
    /// Starts a command in a running container and hands out what it writes to standard output, of any length. The stream ends only after the
    /// command ended with exit code 0: another code, or output that was cut, makes the read throw. Disposing it early does not end the command.
    /// </summary>
    Task<Stream> OpenExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel);

    /// <summary>
    /// Runs a command that reads standard input to its end, and waits for its end. It sees exactly <paramref name="length"/> bytes, those that
    /// <paramref name="write"/> pushes; if that throws, the command sees an early end and what was thrown comes out. An exit code other than 0 throws.
    /// </summary>
    /// <returns>What it wrote, cut at 64 KiB.</returns>
    Task<ExecResult> LoadAsync(
        string containerId, IReadOnlyList<string> command, long length, Func<Stream, CancellationToken, Task> write, CancellationToken cancel);

    /// <summary>
    /// Does all that a read needs beforehand (the helper container that serves it), so that nothing of it falls into the time in which
    /// containers are held. A source that is not there is NotFound.
    /// </summary>
    /// <param name="runId">Stands in the helper's label, so that <see cref="RemoveHelpersAsync"/> finds it after a crash.</param>
    Task<ISourceHandle> PrepareSourceAsync(SourceRef source, string runId, CancellationToken cancel);

    /// <summary>True when the volume, or the bound directory, is there.</summary>
    Task<bool> ExistsAsync(SourceRef source, string runId, CancellationToken cancel);

    /// <summary>True when an existing source holds nothing but its root.</summary>
    Task<bool> IsEmptyAsync(SourceRef source, string runId, CancellationToken cancel);

    /// <summary>Creates a volume that is not there yet. An engine silently keeps an old one, so existence is checked first and is an error.</summary>
    Task CreateVolumeAsync(VolumeFacts volume, CancellationToken cancel);

    /// <summary>
    /// Makes an existing source empty; its users are already quiesced. A volume that no container references is re-created; otherwise a
    /// started helper over an image already on the host (one with a shell and rm or find) removes the content. Throws
    /// <see cref="EnvironmentException"/> with the cure when neither is possible. Returns only after it has seen it empty.
    /// </summary>
    Task EmptyAsync(SourceRef target, string runId, CancellationToken cancel);

    /// <summary>Says how <see cref="EmptyAsync"/> would do it, in the user's words; throws the same refusal, without touching anything.</summary>
    Task<string> PlanEmptyAsync(SourceRef target, string runId, CancellationToken cancel);

    /// <summary>Extracts a tar into an existing source. <paramref name="write"/> pushes the tar; if it throws, the request is cut, not completed.</summary>
    Task FillAsync(SourceRef target, string runId, Func<Stream, CancellationToken, Task> write, CancellationToken cancel);

    /// <summary>Removes helper containers of one run, or of every run when null. Returns how many.</summary>
    Task<int> RemoveHelpersAsync(string? runId, CancellationToken cancel);
}

/// <summary>A source ready to be read. Disposing removes the helper container, on a deadline of its own and without throwing.</summary>
public interface ISourceHandle : IAsyncDisposable
{
    /// <summary>
    /// Opens the content as the engine's own tar, byte for byte: entries <c>./</c>, <c>./a</c>, … for a directory, one entry for a bound file.
    /// An end of the stream proves nothing: the reader must find the tar's own end. May be called again for a fresh read.
    /// </summary>
    Task<Stream> OpenAsync(CancellationToken cancel);
}

/// <summary>A command that is ready to run in a container.</summary>
public interface IPreparedExec
{
    string Id { get; }

    /// <summary>
    /// Runs it without a terminal and waits for its end. What does not end in time is killed with all that it started, where the container has a
    /// shell, and throws an <see cref="EnvironmentException"/> that says whether it goes on.
    /// </summary>
    Task<ExecResult> RunAsync(TimeSpan timeout, CancellationToken cancel);
}

public static class EnvironmentCommands
{
    /// <summary>Prepares a command and runs it, see <see cref="IPreparedExec.RunAsync"/>.</summary>
    public static async Task<ExecResult> ExecAsync(
        this IEnvironment environment, string containerId, IReadOnlyList<string> command, TimeSpan timeout, CancellationToken cancel)
    {
        IPreparedExec prepared = await environment.PrepareExecAsync(containerId, command, cancel).ConfigureAwait(false);
        return await prepared.RunAsync(timeout, cancel).ConfigureAwait(false);
    }
}

/// <summary>Standard output and error are cut at 64 KiB each; they are for messages, not for data.</summary>
public sealed record ExecResult(int ExitCode, string Output, string Error);

/// <summary>A failure on the engine's side.</summary>
public class EnvironmentException(string environment, string problem, string hint, FailureKind kind = FailureKind.Failed, Exception? inner = null)
    : BackupException(problem, hint, kind, inner)
{
    public string Environment { get; } = environment;

    /// <summary>The engine could not be reached at all (refused, no route, TLS, authentication).</summary>
    public bool Unreachable { get; init; }
}

/// <summary>A command in a container ran to its end, and its exit code was not 0: that is its answer, and not a fault on the way to it.</summary>
public sealed class CommandFailedException(string environment, string problem, string hint) : EnvironmentException(environment, problem, hint);
