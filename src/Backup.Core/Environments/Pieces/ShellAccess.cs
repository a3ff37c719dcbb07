using System.Globalization;
using Backup.Streams;

namespace Backup.Environments.Pieces;

/// <summary>By the programs of an image that is on the host, in a helper that has the source mounted.</summary>
internal sealed class ShellAccess : IFileAccess
{
    private const int BlockSize = 64 * 1024;
    private const int MarkLength = 16;
    private static readonly string[][] Programs = [["find"], ["stat"], ["dd"]];

    private readonly DockerApi _api;
    private readonly SourceRef _source;
    private readonly ShellHelper _shell;
    private readonly string _mark;

    private ShellAccess(DockerApi api, SourceRef source, ShellHelper shell, string mark) => (_api, _source, _shell, _mark) = (api, source, shell, mark);

    /// <summary>Null when no image on the host has the programs.</summary>
    internal static async Task<ShellAccess?> OpenAsync(
        DockerApi api, HelperContainers helpers, BorrowedImages images, SourceRef source, string runId, RunContext context, CancellationToken cancel) =>
        await ShellHelper.StartAsync(api, helpers, images, source, true, Programs, runId, cancel).ConfigureAwait(false) is { } shell
            ? new ShellAccess(api, source, shell, context.NewId()[..MarkLength])
            : null;

    public async Task<TreeListing> ListAsync(CancellationToken cancel)
    {
        await using Stream output = await _shell.OpenAsync($"list {_source}", ShellListing.Script(_shell, _mark), cancel).ConfigureAwait(false);
        try
        {
            return await ShellListing.ReadAsync(output, _mark, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is InvalidDataException or FormatException or IndexOutOfRangeException)
        {
            throw new EnvironmentException(_api.Http.Environment, $"cannot list {_source} with the programs of image {_shell.Image.Name}: {e.Message}",
                "reach the engine directly, or load another small image on that host, such as: docker pull busybox", inner: e);
        }
    }

    public async Task<Stream> OpenContentAsync(string path, long offset, long count, CancellationToken cancel)
    {
        string file = RawPath.Join(RawPath.Of(HelperContainers.Root), path);
        long first = offset / BlockSize, blocks = (offset + count + BlockSize - 1) / BlockSize - first;
        string script = string.Create(CultureInfo.InvariantCulture,
            $"{RawPath.Assign("f", file)}; exec {_shell["dd"]} if=\"$f\" bs={BlockSize} skip={first} count={blocks} 2>/dev/null");
        Stream output = await _shell.OpenAsync($"read a part of {_source}", script, cancel).ConfigureAwait(false);
        return new CutStream(output, offset - first * BlockSize, count);
    }

    public ValueTask DisposeAsync() => _shell.DisposeAsync();

    /// <summary>So many bytes from an offset on; what follows is read, so that its end is seen, and dropped.</summary>
    private sealed class CutStream(Stream inner, long skip, long count) : ReadOnlyStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
        {
            byte[] dropped = new byte[skip > 0 || count == 0 ? BlockSize : 0];
            while (skip > 0)
            {
                int passed = await inner.ReadAsync(dropped.AsMemory(0, (int)Math.Min(skip, dropped.Length)), cancel).ConfigureAwait(false);
                if (passed == 0) return 0;
                skip -= passed;
            }
            if (count > 0)
            {
                int read = await inner.ReadAsync(buffer[..(int)Math.Min(count, buffer.Length)], cancel).ConfigureAwait(false);
                count -= read;
                return read;
            }
            while (await inner.ReadAsync(dropped, cancel).ConfigureAwait(false) > 0) { }
            return 0;
        }

        public override ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
