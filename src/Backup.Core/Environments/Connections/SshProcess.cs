using System.ComponentModel;
using System.Diagnostics;

namespace Backup.Environments.Connections;

/// <param name="Code">ssh's own failures are 255; else the code of the command that ran there.</param>
/// <param name="Said">The end of what ssh, or the command, wrote to its error output.</param>
internal sealed record SshEnd(int Code, string Said)
{
    private const int NoSuchCommand = 127;

    /// <summary>There is no docker client, or one from before 2018.</summary>
    internal bool LacksDialStdio => Code == NoSuchCommand || (Said.Contains("dial-stdio", StringComparison.Ordinal) && Said.Contains("not a docker command", StringComparison.Ordinal));
}

/// <summary>One ssh client. It ends with its stream, and by itself when this program ends in whatever way.</summary>
internal sealed class SshProcess
{
    /// <summary>
    /// Ctrl-C and a service manager signal every process of the group. The containers are brought back over this connection, so it must outlive them.
    /// ssh leaves ignored signals ignored.
    /// </summary>
    private const string Deaf = "trap '' INT HUP QUIT TERM; exec \"$0\" \"$@\"";

    private const int LinesKept = 8;
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(5);

    private readonly Process _process;
    private readonly Queue<string> _said = new();
    private readonly Task _listening;
    private int _ended;

    private SshProcess(Process process)
    {
        _process = process;
        _listening = ListenAsync();
        Stream = new SshStream(this, process.StandardOutput.BaseStream, process.StandardInput.BaseStream);
    }

    /// <summary>Its standard input and output; disposing ends the process.</summary>
    internal Stream Stream { get; }

    internal bool HasEnded => _process.HasExited;

    /// <exception cref="UnreachedException">There is no such program.</exception>
    internal static SshProcess Start(string program, IEnumerable<string> arguments)
    {
        string path = Find(program) ?? throw new UnreachedException($"there is no program {program} here",
            "install the OpenSSH client (Debian, Ubuntu: apt-get install openssh-client)");
        var start = new ProcessStartInfo("/bin/sh", ["-c", Deaf, path, .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        try
        {
            return new SshProcess(Process.Start(start)!);
        }
        catch (Win32Exception e)
        {
            throw new UnreachedException($"ssh cannot be started: {e.Message}", "see what stops processes from being started here, such as a limit of the service", e);
        }
    }

    /// <summary>A stream that reaches through this process in another way; disposing it ends the process.</summary>
    internal Stream Carry(Stream connection) => new SshStream(this, connection, connection);

    /// <summary>Ends its input, so that it ends.</summary>
    internal void HangUp() => _process.StandardInput.BaseStream.Dispose();

    /// <summary>Waits for its end, for a moment; one that does not end has said what it will say.</summary>
    internal async Task<SshEnd> EndAsync(CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        patience.CancelAfter(EndPatience);
        try
        {
            await _process.WaitForExitAsync(patience.Token).ConfigureAwait(false);
            await _listening.WaitAsync(patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
        }
        lock (_said) return new SshEnd(_process.HasExited ? _process.ExitCode : 0, string.Join("; ", _said));
    }

    private async Task ListenAsync()
    {
        using StreamReader error = _process.StandardError;
        while (await error.ReadLineAsync().ConfigureAwait(false) is { } line)
            lock (_said)
            {
                if (line.Trim().Length > 0) _said.Enqueue(line.Trim());
                if (_said.Count > LinesKept) _said.Dequeue();
            }
    }

    /// <summary>Without its input it ends by itself; one that hangs in the network does not.</summary>
    private async Task ReapAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0) return;
        HangUp();
        _process.StandardOutput.BaseStream.Dispose();
        await EndAsync(CancellationToken.None).ConfigureAwait(false);
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync().ConfigureAwait(false);
        _process.Dispose();
    }

    private static string? Find(string program) => program.Contains('/')
        ? File.Exists(program) ? program : null
        : (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    private sealed class SshStream(SshProcess ssh, Stream read, Stream write) : Stream
    {
        private bool _disposed;

        public override bool CanRead => true;
        public override bool CanWrite => true;
        public override bool CanSeek => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = await read.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (count > 0 || buffer.Length == 0) return count;
            SshEnd end = await ssh.EndAsync(cancellationToken).ConfigureAwait(false);
            return end.Code == 0 || end.Said.Length == 0 ? 0 : throw new IOException($"ssh ended: {end.Said}");
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => write.WriteAsync(buffer, cancellationToken);
        public override Task FlushAsync(CancellationToken cancellationToken) => write.FlushAsync(cancellationToken);
        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
        public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
        public override void Flush() => write.Flush();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing && !_disposed)
            {
                _disposed = true;
                read.Dispose();
                write.Dispose();
                _ = ssh.ReapAsync();
            }
            base.Dispose(disposing);
        }
    }
}
