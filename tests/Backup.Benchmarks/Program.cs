using System.Formats.Tar;
using System.Globalization;
using System.Security.Cryptography;
using Backup;
using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Stores;

// What tests/bench.sh cannot make with stock tools.
//   many-snapshots DIR COUNT            fills a directory store with small real snapshots: environment "disk", 20 volumes, one snapshot an hour
//   throttle PORT TARGET BYTES-A-SECOND a proxy on loopback that lets no more than that through to 127.0.0.1:TARGET, until it is killed
if (args is ["throttle", var port, var target, var rate])
{
    await Throttle.RunAsync(Number(port), Number(target), Number(rate));
    return 0;
}
if (args is not ["many-snapshots", var folder, var number])
{
    Console.Error.WriteLine("usage: many-snapshots DIR COUNT | throttle PORT TARGET BYTES-A-SECOND");
    return 2;
}
var context = new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Silent());
await using var store = new ArchiveSnapshotStore(new DirectoryObjectStore(new DirectoryStorePolicy("disk", Path.GetFullPath(folder)), context), context);
DateTimeOffset start = context.Now.AddYears(-1);
byte[] tar = SmallTar();
for (int i = 0; i < Number(number); i++)
{
    string id = context.NewId(), volume = $"volume{i % 20}";
    DateTimeOffset at = start.AddHours(i);
    await using StagedSnapshot staged = await store.BeginAsync(id, "disk", volume, at, null, 3, null, default);
    await staged.WriteTarAsync(new MemoryStream(tar), null, default);
    await staged.CommitAsync(new SnapshotRecord(id, "disk", volume, at,
        new VolumeFacts(volume, "local", new Dictionary<string, string>(), new Dictionary<string, string> { ["com.docker.compose.project"] = "shop" }, "local", false),
        [new ConsumerRecord("shop-db-1", new string('a', 64), "postgres:16", "sha256:" + new string('b', 64), null, "shop", "db", "/var/lib/postgresql/data", true)],
        new EngineFacts("id", "host", "20.10.24", "1.41", "linux", "x86_64"), new QuiesceRecord("pause", 0.4, []), "bench", new string('c', 32)), default);
}
return 0;

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

static byte[] SmallTar()
{
    using var bytes = new MemoryStream();
    using (var writer = new TarWriter(bytes, TarEntryFormat.Ustar))
    {
        writer.WriteEntry(new UstarTarEntry(TarEntryType.Directory, "./"));
        for (int i = 0; i < 10; i++)
            writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, $"./file{i}") { DataStream = new MemoryStream(RandomNumberGenerator.GetBytes(500)) });
    }
    return bytes.ToArray();
}

internal sealed class Silent : IProgress<RunEvent>
{
    public void Report(RunEvent value) { }
}
