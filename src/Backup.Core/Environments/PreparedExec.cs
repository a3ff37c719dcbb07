namespace Backup.Environments;

/// <summary>
/// A command with a time limit. The engine cannot end a command, so each carries a variable that all that it starts inherits, and a second command
/// kills whatever has it.
/// </summary>
internal sealed class PreparedExec : IPreparedExec
{
    private const string Variable = "BACKUP_EXEC";
    private static readonly TimeSpan KillDeadline = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    /// <summary>With the shell's own words alone: an image may have no other program. $0 is the variable with its value.</summary>
    private const string Kill = """
        for p in /proc/[0-9]*; do
          while IFS= read -r line || [ -n "$line" ]; do
            case $line in *"$0"*) kill -9 "${p#/proc/}" ;; esac
          done <"$p/environ"
        done 2>/dev/null
        :
        """;

    private readonly DockerApi _api;
    private readonly RunContext _context;
    private readonly DockerExec _exec;
    private readonly string _container, _mark;

    private PreparedExec(DockerApi api, RunContext context, DockerExec exec, string container, string mark) =>
        (_api, _context, _exec, _container, _mark) = (api, context, exec, container, mark);

    public string Id => _exec.Id;

    internal static async Task<PreparedExec> CreateAsync(
        DockerApi api, RunContext context, string container, IReadOnlyList<string> command, CancellationToken cancel)
    {
        string mark = $"{Variable}={context.NewId()}";
        DockerExec exec = await DockerExec.CreateAsync(api, container, command, cancel, mark: mark).ConfigureAwait(false);
        return new PreparedExec(api, context, exec, container, mark);
    }

    public async Task<ExecResult> RunAsync(TimeSpan timeout, CancellationToken cancel)
    {
        using var deadline = new CancellationTokenSource(timeout, _context.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        try
        {
            return await _exec.RunAsync(both.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested && deadline.IsCancellationRequested)
        {
            string end = await KilledAsync().ConfigureAwait(false) ? "was killed" : "goes on in the container: it could not be killed";
            throw new EnvironmentException(_exec.Environment, $"cannot {_exec.Doing}: it did not end within {timeout.TotalSeconds:0.###} s and {end}",
                "raise the timeout in the policy, or mend the command", inner: e);
        }
    }

    /// <summary>False when it still runs, or nobody knows.</summary>
    private async Task<bool> KilledAsync()
    {
        using var deadline = new CancellationTokenSource(KillDeadline, _context.Time);
        try
        {
            DockerExec kill = await DockerExec.CreateAsync(_api, _container, ["/bin/sh", "-c", Kill, _mark], deadline.Token).ConfigureAwait(false);
            await kill.RunAsync(deadline.Token).ConfigureAwait(false);
            while ((await _api.ExecStateAsync(Id, _exec.Doing, deadline.Token).ConfigureAwait(false)).Running == true)
                await Task.Delay(Poll, _context.Time, deadline.Token).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is EnvironmentException or OperationCanceledException)
        {
            return false;
        }
    }
}
