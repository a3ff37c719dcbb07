using Backup.Streams;

namespace Backup.Environments;

/// <summary>What a command writes to standard output. The end is handed out only when the command ended with exit code 0.</summary>
internal sealed class ExecStream(DockerExec exec, Stream connection) : ReadOnlyStream
{
    private readonly ExecFrames _frames = new(connection, exec.Environment, exec.Doing);
    private bool _ended;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (_ended || buffer.Length == 0) return 0;
        int read = await _frames.ReadAsync(buffer, cancel).ConfigureAwait(false);
        if (read > 0) return read;
        int code = await exec.ExitCodeAsync(cancel).ConfigureAwait(false);
        if (code != 0) throw exec.Failed(code, _frames.Error);
        _ended = true;
        return 0;
    }

    public override ValueTask DisposeAsync() => connection.DisposeAsync();
}
