using System.Runtime.CompilerServices;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

/// <summary>An archive that version 1 of the format made. It must stay readable for ever: these files are never made anew.</summary>
public sealed class ArchiveVectorTests
{
    private const string Stem = "web/data/20260102T030405Z-" + Sample.Id;

    private static CountingStore Load([CallerFilePath] string here = "")
    {
        string folder = Path.Combine(Path.GetDirectoryName(here)!, "..", "Vectors", "archive-v1");
        var objects = new CountingStore();
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
            objects.Objects[Path.GetRelativePath(folder, file).Replace('\\', '/')] = File.ReadAllBytes(file);
        objects.Objects.Count.ShouldBe(3);
        return objects;
    }

    [Fact(Timeout = 30_000)]
    public async Task An_archive_of_version_1_stays_readable()
    {
        await using var store = new ArchiveSnapshotStore(Load(), Sample.Context());
        SnapshotList list = await store.ListAsync(null, null, default);
        list.Damaged.ShouldBeEmpty();
        Snapshot snapshot = list.Snapshots.ShouldHaveSingleItem();
        (snapshot.Id, snapshot.Environment, snapshot.Volume, snapshot.TakenAt, snapshot.Consistency).ShouldBe((Sample.Id, "web", "data", Sample.Taken, "pause"));
        (snapshot.Bytes, snapshot.Files, snapshot.Sha256).ShouldBe((16896, 9, "f4482202fd7a68a9e6c5239f4d72dd3dd4118142329c0a7699e24eafed073240"));
        (await store.VerifyAsync(snapshot, readData: true, null, default)).ShouldBeEmpty();
        await using SnapshotReader reader = await store.OpenAsync(snapshot, default);
        byte[] tar = await Sample.ReadAllAsync(await reader.OpenTarAsync(default));
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(tar)).ShouldBe("f4482202fd7a68a9e6c5239f4d72dd3dd4118142329c0a7699e24eafed073240");
        reader.Files.ShouldBe(TarScanTests.Scan(tar));
        reader.Record.Volume!.Labels["owner"].ShouldBe("团队");
        reader.Record.Quiesce.Windows.ShouldHaveSingleItem().Until.ShouldBe(Sample.Taken.AddSeconds(1.5));
    }
}
