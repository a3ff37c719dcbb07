using System.Globalization;

namespace Backup.Environments;

/// <summary>One command in one container, from its creation to its exit code.</summary>
internal sealed class DockerExec
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    /// <summary>A command whose output has ended may still be ending itself.</summary>
    private static readonly TimeSpan EndMargin = TimeSpan.FromSeconds(60);

    /// <summary>How often a silent command that is given input is asked about.</summary>
    private static readonly TimeSpan Pulse = TimeSpan.FromSeconds(30);

    private readonly DockerApi _api;
    private readonly string _id, _container;

    private DockerExec(DockerApi api, string id, string container, string doing) => (_api, _id, _container, Doing) = (api, id, container, doing);

    /// <summary>For messages: <c>run X in container Y</c>.</summary>
    internal string Doing { get; }

    internal string Id => _id;

    internal string Environment => _api.Http.Environment;

    internal static string Describe(string container, IReadOnlyList<string> command) => $"run \"{ExecText.Name(command)}\" in container {DockerApi.Short(container)}";

    /// <param name="length">Bytes of standard input it will be given; null = none.</param>
    /// <param name="mark">A variable (<c>NAME=value</c>) by which it and all that it starts are found; null = none.</param>
    internal static async Task<DockerExec> CreateAsync(
        DockerApi api, string container, IReadOnlyList<string> command, CancellationToken cancel, long? length = null, string? mark = null)
    {
        string doing = Describe(container, command);
        string id = await api.CreateExecAsync(container, length is { } bytes ? Fed(command, bytes) : command, length is not null, mark, doing, cancel).ConfigureAwait(false);
        return new DockerExec(api, id, container, doing);
    }

    /// <summary>Until its end, whatever its exit code.</summary>
    internal async Task<ExecResult> RunAsync(CancellationToken cancel)
    {
        ExecOutput output = await _api.StartExecAsync(_id, Doing, cancel).ConfigureAwait(false);
        return new ExecResult(await ExitCodeAsync(cancel).ConfigureAwait(false), output.Output, output.Error);
    }

    internal async Task<Stream> OpenAsync(CancellationToken cancel) => new ExecStream(this, await _api.OpenExecAsync(_id, Doing, cancel).ConfigureAwait(false));

    /// <summary>Feeds it and waits for its end.</summary>
    internal async Task<ExecResult> LoadAsync(long length, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await _api.AttachExecAsync(_id, Doing, cancel).ConfigureAwait(false);
        Stream connection = await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        // Read from the start: a command that nobody listens to stops reading.
        Task<ExecOutput> reading = _api.ReadExecAsync(connection, Doing, cancel);
        try
        {
            Exception? broken = null;
            try
            {
                await using var input = new ExactStream(new GuardedStream(connection, _api.Http, Doing), length);
                await write(input, cancel).ConfigureAwait(false);
                await input.CompleteAsync(cancel).ConfigureAwait(false);
            }
            catch (EnvironmentException e)
            {
                // A command that failed early takes no more input; its exit code and its words are the better explanation.
                broken = e;
            }
            ExecOutput output = await EndOfAsync(reading, cancel).ConfigureAwait(false);
            int code = await ExitCodeAsync(cancel).ConfigureAwait(false);
            if (code != 0) throw Failed(code, output.Error, output.Output);
            if (broken is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(broken);
            return new ExecResult(code, output.Output, output.Error);
        }
        finally
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            await reading.ContinueWith(static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A command may be silent for hours after its input has ended, while it builds an index; so silence is no sign, but an engine that answers no
    /// more is one.
    /// </summary>
    private async Task<ExecOutput> EndOfAsync(Task<ExecOutput> reading, CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                return await reading.WaitAsync(Pulse, _api.Http.Time, cancel).ConfigureAwait(false);
            }
            catch (TimeoutException) when (!reading.IsCompleted)
            {
                await _api.ExecStateAsync(_id, Doing, cancel).ConfigureAwait(false);
            }
        }
    }

    internal async Task<int> ExitCodeAsync(CancellationToken cancel)
    {
        long started = _api.Http.Time.GetTimestamp();
        while (true)
        {
            ExecState state = await _api.ExecStateAsync(_id, Doing, cancel).ConfigureAwait(false);
            if (state is { Running: not true, ExitCode: { } code }) return code;
            if (_api.Http.Time.GetElapsedTime(started) > EndMargin)
                throw new EnvironmentException(Environment, $"cannot {Doing}: its output ended, but it did not", "look for it in the container with docker top");
            await Task.Delay(Poll, _api.Http.Time, cancel).ConfigureAwait(false);
        }
    }

    internal CommandFailedException Failed(int code, string error, string output = "") => new(Environment,
        string.Create(CultureInfo.InvariantCulture, $"cannot {Doing}: it ended with exit code {code}{ExecText.Reason(error, output)}"),
        $"look at the container's log: docker logs {DockerApi.Short(_container)}");

    /// <summary>
    /// The end of its input is told by count: a connection that is still to carry output cannot be half closed everywhere, and not at all by
    /// .NET's handler.
    /// </summary>
    private static IReadOnlyList<string> Fed(IReadOnlyList<string> command, long length) =>
        ["/bin/sh", "-c", "head -c \"$0\" | \"$@\"", length.ToString(CultureInfo.InvariantCulture), .. command];
}
