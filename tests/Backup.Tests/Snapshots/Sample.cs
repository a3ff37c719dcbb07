using Backup.Environments;
using Backup.Snapshots;
using Backup.Tests.Streams;

namespace Backup.Tests.Snapshots;

/// <summary>What the tests of snapshots share: a clock, a record, tars.</summary>
internal static class Sample
{
    public static readonly DateTimeOffset Taken = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    public const string Id = "0123456789abcdef0123456789abcdef";

    public static RunContext Context(TimeProvider? time = null, Action<RunEvent>? events = null)
    {
        var random = new Random(7);
        return new RunContext(time ?? TimeProvider.System, bytes => { lock (random) random.NextBytes(bytes); }, new Sink(events ?? (_ => { })));
    }

    public static SnapshotRecord Record(string id = Id, string environment = "web", string source = "data", DateTimeOffset? takenAt = null) => new(
        id, environment, source, takenAt ?? Taken,
        new VolumeFacts("data", "local", new Dictionary<string, string> { ["type"] = "tmpfs" }, new Dictionary<string, string> { ["owner"] = "团队" }, "local", false),
        [new ConsumerRecord("web-1", new string('a', 64), "nginx:1", "sha256:1", "nginx@sha256:2", "web", "nginx", "/data", true)],
        new EngineFacts("engine", "host", "20.10.24", "1.41", "linux", "x86_64"),
        new QuiesceRecord("pause", 1.5, [new QuiesceWindow("web-1", "pause", Taken, Taken.AddSeconds(1.5))]),
        "0.1.0", "run");

    /// <summary>A bit of everything an engine sends.</summary>
    public static byte[] Tar() => new TarMaker()
        .Directory("./")
        .Add("./a.txt", "hello\n"u8.ToArray(), uid: 1000, gid: 1000)
        .Add("./empty", [])
        .HardLink("./b.txt", "./a.txt")
        .Symlink("./dangling", "/no/such/place")
        .Pax(("path", "./name\nwith\tnew\\line\xff")).Add("./name", Noise(3000, 1))
        .Pax(("path", "./" + new string('d', 150) + "/")).Directory("./long/")
        .Pax(("path", "./" + new string('d', 150) + "/" + new string('f', 150))).Add("./long", Noise(100, 2))
        .Pax(("SCHILY.xattr.security.capability", "\x01\0\0\x02\0\x20" + new string('\0', 14))).Add("./ping", Noise(10, 3), mode: 0x9ED)
        .Add("./fifo", [], '6').Add("./null", [], '3', major: 1, minor: 3)
        .End(padding: 3);

    public static byte[] Noise(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static async Task<byte[]> ReadAllAsync(Stream stream)
    {
        await using (stream)
        {
            using var bytes = new MemoryStream();
            await stream.CopyToAsync(bytes);
            return bytes.ToArray();
        }
    }

    public static async Task<Snapshot> WriteAsync(ISnapshotStore store, byte[] tar, SnapshotRecord? record = null)
    {
        record ??= Record();
        await using StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, tar.Length, 3, null, default);
        await staged.WriteTarAsync(new MemoryStream(tar), null, default);
        return await staged.CommitAsync(record, default);
    }

    private sealed class Sink(Action<RunEvent> events) : IProgress<RunEvent>
    {
        public void Report(RunEvent value) => events(value);
    }
}

/// <summary>A clock that stands where it is put.</summary>
internal sealed class SetClock(DateTimeOffset now) : TimeProvider
{
    public DateTimeOffset Now = now;
    public override DateTimeOffset GetUtcNow() => Now;
}
