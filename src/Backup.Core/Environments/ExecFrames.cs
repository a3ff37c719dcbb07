using System.Buffers.Binary;
using System.Text;

namespace Backup.Environments;

/// <summary>
/// The frames in which an engine sends what a command without a terminal wrote: stream number, three zeros, big-endian length, payload. Standard
/// output is handed out as it comes, of standard error the last part is kept.
/// </summary>
internal sealed class ExecFrames(Stream frames, string environment, string doing)
{
    /// <summary>Bytes of standard error that are kept.</summary>
    internal const int Limit = 64 * 1024;

    private const int HeaderSize = 8;
    private readonly byte[] _header = new byte[HeaderSize];
    private readonly MemoryStream _error = new();
    private bool _isError;
    private long _left;

    internal string Error => Encoding.UTF8.GetString(_error.GetBuffer().AsSpan(0, (int)_error.Length)[(int)Math.Max(0, _error.Length - Limit)..]);

    /// <summary>The next bytes of standard output; 0 at the end of all output. An end inside a frame is an error.</summary>
    internal async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        if (buffer.Length == 0) return 0;
        while (true)
        {
            while (_left == 0)
                if (!await NextAsync(cancel).ConfigureAwait(false)) return 0;
            int read = await frames.ReadAsync(buffer[..(int)Math.Min(buffer.Length, _left)], cancel).ConfigureAwait(false);
            if (read == 0) throw Cut();
            _left -= read;
            if (!_isError) return read;
            Keep(buffer.Span[..read]);
        }
    }

    private async ValueTask<bool> NextAsync(CancellationToken cancel)
    {
        int head = await frames.ReadAtLeastAsync(_header, HeaderSize, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
        if (head == 0) return false;
        if (head < HeaderSize) throw Cut();
        _isError = _header[0] switch
        {
            0 or 1 => false,
            2 or 3 => true,
            _ => throw new EnvironmentException(environment, $"cannot {doing}: the engine sent output in a form that is not known",
                "a proxy in between may have changed it; connect to the engine directly"),
        };
        _left = BinaryPrimitives.ReadUInt32BigEndian(_header.AsSpan(4));
        return true;
    }

    /// <summary>What a command says last is why it failed.</summary>
    private void Keep(ReadOnlySpan<byte> bytes)
    {
        _error.Write(bytes);
        if (_error.Length <= 2 * Limit) return;
        byte[] last = _error.GetBuffer()[(int)(_error.Length - Limit)..(int)_error.Length];
        _error.SetLength(0);
        _error.Write(last);
    }

    private EnvironmentException Cut() => new(environment, $"cannot {doing}: the engine cut the output short",
        "the engine may have stopped or restarted; see its log (journalctl -u docker) and try again");
}
