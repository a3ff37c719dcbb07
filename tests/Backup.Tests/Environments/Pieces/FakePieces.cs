using System.Text;
using Backup.Environments;
using Backup.Environments.Pieces;
using Backup.Tests.Streams;

namespace Backup.Tests.Environments.Pieces;

/// <param name="Group">Names with the same number are hard links to one file; 0 = a file of its own.</param>
internal sealed record TreeFile(string Path, byte[]? Content, int Group = 0, string Target = "");

/// <summary>A tree that is read as an engine reads one: in its order, the first of several names as the file and the others as links to it.</summary>
internal sealed class FakePieces : ISourcePieces
{
    private readonly List<TreeFile> _files;
    private readonly FakeClock _clock;

    /// <param name="files">Directories have no content and no target.</param>
    internal FakePieces(IEnumerable<TreeFile> files, FakeClock clock)
    {
        _files = [.. files.OrderBy(f => f.Path, TreeOrder.Instance)];
        _clock = clock;
    }

    public bool IsDirectory => true;

    /// <summary>Bytes a second of every read.</summary>
    internal double Rate { get; set; } = 1000;

    /// <summary>Ends the read of this number, the first being 0, after so many bytes; cleanly, or by an error.</summary>
    internal Func<int, (long Bytes, bool Clean)?> Break { get; set; } = _ => null;

    internal Action<int> BeforeRead { get; set; } = _ => { };

    internal List<string> Reads { get; } = [];

    internal int Listings { get; private set; }

    internal void Remove(string path) => _files.RemoveAll(f => TreeOrder.IsWithin(f.Path, path));

    internal void Resize(string path, int length)
    {
        int at = _files.FindIndex(f => f.Path == path);
        _files[at] = _files[at] with { Content = new byte[length] };
    }

    internal byte[] Tar(string part = "")
    {
        var tar = new TarMaker();
        var seen = new Dictionary<int, string>();
        foreach (TreeFile file in _files.Where(f => TreeOrder.IsWithin(f.Path, part)))
        {
            string name = file.Path == part && file.Path.Length > 0 && !IsDir(file) ? file.Path[(part.LastIndexOf('/') + 1)..]
                : "./" + (part.Length == 0 ? file.Path : file.Path == part ? "" : file.Path[(part.Length + 1)..]);
            if (IsDir(file) && name != "./") name += "/";
            string link = "";
            char type = file.Target.Length > 0 ? '2' : file.Content is null ? '5' : '0';
            if (file.Group != 0 && !seen.TryAdd(file.Group, name)) (type, link) = ('1', seen[file.Group]);
            if (type == '2') link = file.Target;
            byte[] content = type == '0' ? file.Content! : [];
            (string, string)[] pax = [.. new[] { ("linkpath", link), ("path", name) }.Where(p => p.Item2.Length > 100 || p.Item2.Any(c => c > 127))];
            if (pax.Length > 0) tar.Pax(pax);
            tar.Add(Field(name), content, type, Field(link), mode: type == '5' ? 0x1ED : 0x1A4);
        }
        return tar.End();
    }

    private static string Field(string name)
    {
        string ascii = string.Concat(name.Where(char.IsAscii));
        return ascii.Length > 100 ? ascii[..100] : ascii;
    }

    private static bool IsDir(TreeFile file) => file.Content is null && file.Target.Length == 0;

    public Task<Stream> OpenAsync(string path, bool isDirectory, CancellationToken cancel)
    {
        BeforeRead(Reads.Count);
        TreeFile file = _files.FirstOrDefault(f => f.Path == path) ?? throw new EnvironmentException("fake", $"no {path}", "", FailureKind.NotFound);
        if (IsDir(file) != isDirectory) throw new InvalidOperationException($"{path} is asked for as what it is not");
        // As the engine does, which loses such a name on the way.
        bool lost = !isDirectory && !System.Text.Unicode.Utf8.IsValid(Encoding.Latin1.GetBytes(path[(path.LastIndexOf('/') + 1)..]));
        return Serve(path, lost ? new byte[1024] : Tar(path));
    }

    public Task<bool> ExistsAsync(string path, CancellationToken cancel) => Task.FromResult(_files.Any(f => f.Path == path));

    public Task<TreeListing> ListAsync(CancellationToken cancel)
    {
        Listings++;
        return Task.FromResult(new TreeListing(_files.Select(f => new TreeNode(f.Path, f.Content is null && f.Target.Length == 0, f.Content?.Length ?? 0, f.Group,
            f.Group == 0 ? 1 : _files.Count(o => o.Group == f.Group)))));
    }

    public Task<Stream> OpenContentAsync(string path, long offset, long count, CancellationToken cancel)
    {
        byte[] content = _files.Single(f => f.Path == path).Content!;
        return Serve($"{path}+{offset}", content[(int)offset..(int)Math.Min(content.Length, offset + count)]);
    }

    private Task<Stream> Serve(string what, byte[] bytes)
    {
        (long Bytes, bool Clean)? broken = Break(Reads.Count);
        Reads.Add(what);
        return Task.FromResult<Stream>(new TimedStream(bytes, _clock, Rate, broken));
    }

    /// <summary>Takes its time on the test's clock.</summary>
    private sealed class TimedStream(byte[] bytes, FakeClock clock, double rate, (long Bytes, bool Clean)? broken) : MemoryStream(bytes)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Yield();
            long end = Math.Min(Length, broken?.Bytes ?? Length);
            if (Position >= end && end < Length && broken is { Clean: false }) throw new EnvironmentException("fake", "planted: the read broke", "");
            int count = Read(buffer.Span[..(int)Math.Min(Math.Min(buffer.Length, 700), end - Position)]);
            clock.Pass(TimeSpan.FromSeconds(count / rate));
            return count;
        }
    }
}

internal sealed class FakeClock : TimeProvider
{
    private long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;
    public override long GetTimestamp() => _ticks;
    public void Pass(TimeSpan time) => _ticks += time.Ticks;
}
