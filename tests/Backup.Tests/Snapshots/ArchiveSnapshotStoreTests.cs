using System.Diagnostics;
using System.Text;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Streams;
using Backup.Tests.Contracts;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

public sealed class ArchiveSnapshotStoreTests : SnapshotStoreContract
{
    private const string Stem = "web/data/20260102T030405Z-" + Sample.Id;
    private readonly CountingStore _objects = new();

    protected override ISnapshotStore Create(RunContext context) => new ArchiveSnapshotStore(new CountingStore(context.Time), context);

    private ArchiveSnapshotStore Archive() => new(_objects, Sample.Context());

    [Fact(Timeout = Limit)]
    public async Task The_objects_are_named_and_ordered_as_the_format_says()
    {
        await Sample.WriteAsync(Archive(), Sample.Tar());
        _objects.Objects.Keys.ShouldBe([Stem + ".files.zst", Stem + ".json", Stem + ".tar.zst"]);
        _objects.Log.Where(l => l.StartsWith("commit", StringComparison.Ordinal) || l.StartsWith("delete", StringComparison.Ordinal)).ShouldBe(
            [$"commit {Stem}.pending", $"commit {Stem}.tar.zst", $"commit {Stem}.files.zst", $"commit {Stem}.json", $"delete {Stem}.pending"]);
    }

    [Fact(Timeout = Limit)]
    public async Task Removal_leaves_a_marker_first_and_takes_the_manifest_before_the_data()
    {
        Snapshot made = await Sample.WriteAsync(Archive(), Sample.Tar());
        _objects.Log.Clear();
        await Archive().RemoveAsync(made, default);
        _objects.Log.Where(l => l.StartsWith("commit", StringComparison.Ordinal) || l.StartsWith("delete", StringComparison.Ordinal)).ShouldBe(
            [$"commit {Stem}.pending", $"delete {Stem}.json", $"delete {Stem}.tar.zst", $"delete {Stem}.files.zst", $"delete {Stem}.pending"]);
        _objects.Objects.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Stock_tools_restore_it()
    {
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < 5; i++) maker.Add($"./file{i}", Sample.Noise(1_000_003, i));
        byte[] tar = maker.End();
        await Sample.WriteAsync(Archive(), tar);
        string directory = Directory.CreateTempSubdirectory("backup-stock-").FullName;
        try
        {
            File.WriteAllBytes(Path.Combine(directory, "x.tar.zst"), _objects.Objects[Stem + ".tar.zst"]);
            File.WriteAllBytes(Path.Combine(directory, "x.files.zst"), _objects.Objects[Stem + ".files.zst"]);
            File.WriteAllBytes(Path.Combine(directory, "x.json"), _objects.Objects[Stem + ".json"]);
            Shell(directory, "zstd -tq x.tar.zst x.files.zst && zstd -dq x.tar.zst -o x.tar && tar tf x.tar | wc -l").ShouldBe("6\n");
            File.ReadAllBytes(Path.Combine(directory, "x.tar")).AsSpan().SequenceEqual(tar).ShouldBeTrue();
            Shell(directory, "head -n -2 x.json | sha256sum | cut -c1-64 | grep -cf - x.json").ShouldBe("1\n");
            Shell(directory, "zstd -dc x.files.zst | grep -ac '^f'").ShouldBe("5\n");
            Shell(directory, "zstd -lv x.tar.zst | grep -E 'Skippable|Frames'").ShouldContain("Frames: 1");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task The_seek_table_is_that_of_the_seekable_format()
    {
        await Sample.WriteAsync(Archive(), new TarMaker().Add("a", Sample.Noise(3 << 20, 1)).End());
        byte[] data = _objects.Objects[Stem + ".tar.zst"];
        BitConverter.ToUInt32(data, data.Length - 4).ShouldBe(0x8F92EAB1);
        data[^5].ShouldBe((byte)0x80);
        int frames = BitConverter.ToInt32(data, data.Length - 9);
        frames.ShouldBe(2);
        int table = data.Length - 8 - 12 * frames - 9;
        BitConverter.ToUInt32(data, table).ShouldBe(0x184D2A5Eu);
        BitConverter.ToInt32(data, table + 4).ShouldBe(12 * frames + 9);
        (BitConverter.ToInt32(data, table + 8) + BitConverter.ToInt32(data, table + 20)).ShouldBe(table);
        (BitConverter.ToInt32(data, table + 12), BitConverter.ToInt32(data, table + 24)).ShouldBe((2 << 20, (1 << 20) + 512 + 1024));
    }

    [Fact(Timeout = Limit)]
    public async Task Any_changed_byte_is_found_by_verify_and_never_restored()
    {
        byte[] tar = Sample.Tar();
        Snapshot made = await Sample.WriteAsync(Archive(), tar);
        foreach (string extension in (string[])[".json", ".files.zst", ".tar.zst"])
        {
            byte[] good = _objects.Objects[Stem + extension];
            int step = Math.Max(1, good.Length / 150);
            for (int at = 0; at < good.Length; at = at == good.Length - 1 ? good.Length : Math.Min(at + step, good.Length - 1))
            {
                byte[] bad = [.. good];
                bad[at] ^= 0x10;
                _objects.Objects[Stem + extension] = bad;
                (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldNotBeEmpty($"verify did not notice byte {at} of {extension}: verify is broken");
                if (extension != ".tar.zst") (await Archive().VerifyAsync(made, readData: false, null, default)).ShouldNotBeEmpty($"byte {at} of {extension}");
                if (extension == ".json")
                {
                    SnapshotList list = await Archive().ListAsync(null, null, default);
                    (list.Snapshots.Count, list.Damaged.Count).ShouldBe((0, 1), $"the listing trusts byte {at}");
                }
                bool seekTable = extension == ".tar.zst" && at >= good.Length - 29;
                if (seekTable) continue; // a restore does not need it
                await Should.ThrowAsync<BackupException>(async () =>
                {
                    await using SnapshotReader reader = await Archive().OpenAsync(made, default);
                    await Sample.ReadAllAsync(await reader.OpenTarAsync(default));
                }, $"restore did not notice byte {at} of {extension}");
                await Should.ThrowAsync<BackupException>(() => RestoreAsync(made, "empty"), $"restore of one path did not notice byte {at} of {extension}");
            }
            _objects.Objects[Stem + extension] = good;
        }
        (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_frame_in_the_place_of_another_is_never_restored()
    {
        // Noise does not compress, so these frames are of one length, and each is a whole frame of zstd with its own right checksum.
        Snapshot made = await Sample.WriteAsync(Archive(), new TarMaker().Add("first", Sample.Noise(3 << 20, 1)).Add("last", Sample.Noise(5 << 20, 2)).End());
        await using SnapshotReader reader = await Archive().OpenAsync(made, default);
        FrameSpan[] frames = [.. ((ArchiveReader)reader).Index.Frames];
        frames[1].PackedLength.ShouldBe(frames[2].PackedLength);
        byte[] good = _objects.Objects[Stem + ".tar.zst"], bad = [.. good];
        good.AsSpan((int)frames[1].PackedOffset, frames[1].PackedLength).CopyTo(bad.AsSpan((int)frames[2].PackedOffset));
        good.AsSpan((int)frames[2].PackedOffset, frames[2].PackedLength).CopyTo(bad.AsSpan((int)frames[1].PackedOffset));
        _objects.Objects[Stem + ".tar.zst"] = bad;
        foreach (string path in (string[])["first", "last"])
            (await Should.ThrowAsync<BackupException>(() => RestoreAsync(made, path))).Problem.ShouldContain("do not have the recorded checksum");
        (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldNotBeEmpty("verify did not notice: verify is broken");
        _objects.Objects[Stem + ".tar.zst"] = good;
        (await RestoreAsync(made, "last")).Length.ShouldBe(512 + (5 << 20) + 1024);
    }

    private async Task<byte[]> RestoreAsync(Snapshot snapshot, string path)
    {
        await using SnapshotReader reader = await Archive().OpenAsync(snapshot, default);
        return await Sample.ReadAllAsync(await reader.OpenTarAsync([reader.Files.Single(f => f.Path == path)], default));
    }

    [Theory(Timeout = Limit)]
    [InlineData(".files.zst")]
    [InlineData(".tar.zst")]
    public async Task A_missing_or_cut_object_is_found(string extension)
    {
        Snapshot made = await Sample.WriteAsync(Archive(), Sample.Tar());
        byte[] good = _objects.Objects[Stem + extension];
        foreach (byte[]? bad in (byte[]?[])[null, good[..^1], [.. good, 0], []])
        {
            if (bad is null) _objects.Objects.Remove(Stem + extension);
            else _objects.Objects[Stem + extension] = bad;
            (await Archive().VerifyAsync(made, readData: false, null, default)).ShouldNotBeEmpty("verify did not notice: verify is broken");
            (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldNotBeEmpty("verify did not notice: verify is broken");
            (await Archive().ListAsync(null, null, default)).Damaged.ShouldHaveSingleItem();
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_manifest_under_another_key_is_damaged()
    {
        await Sample.WriteAsync(Archive(), Sample.Tar());
        string other = "web/other/20260102T030405Z-" + Sample.Id;
        foreach (string extension in (string[])[".json", ".files.zst", ".tar.zst"]) _objects.Objects[other + extension] = _objects.Objects[Stem + extension];
        SnapshotList list = await Archive().ListAsync(null, null, default);
        list.Snapshots.ShouldHaveSingleItem().Volume.ShouldBe("data");
        list.Damaged.ShouldHaveSingleItem().Problem.ShouldContain("belongs to another key");
    }

    [Fact(Timeout = Limit)]
    public async Task A_manifest_of_a_newer_version_says_so()
    {
        await Sample.WriteAsync(Archive(), Sample.Tar());
        string text = Encoding.UTF8.GetString(_objects.Objects[Stem + ".json"]).Replace("\"formatVersion\": 1", "\"formatVersion\": 2");
        string head = text[..text.IndexOf("  \"manifestSha256\"", StringComparison.Ordinal)];
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(head)));
        _objects.Objects[Stem + ".json"] = Encoding.UTF8.GetBytes($"{head}  \"manifestSha256\": \"{hash}\"\n}}\n");
        (await Archive().ListAsync(null, null, default)).Damaged.ShouldHaveSingleItem().Problem.ShouldContain("newer version");
    }

    [Fact(Timeout = Limit)]
    public async Task One_small_file_costs_one_frame()
    {
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < 30; i++) maker.Add($"./big{i}", Sample.Noise(1 << 20, i));
        maker.Add("./small", "here"u8.ToArray());
        for (int i = 0; i < 30; i++) maker.Add($"./more{i}", Sample.Noise(1 << 20, i));
        Snapshot made = await Sample.WriteAsync(Archive(), maker.End());
        await using SnapshotReader reader = await Archive().OpenAsync(made, default);
        _objects.BytesRead = 0;
        byte[] tar = await Sample.ReadAllAsync(await reader.OpenTarAsync([reader.Files.Single(f => f.Path == "small")], default));
        TarScanTests.Scan(tar).ShouldHaveSingleItem().Path.ShouldBe("small");
        _objects.BytesRead.ShouldBeLessThanOrEqualTo((2 << 20) + 1000);
    }

    [Fact(Timeout = Limit)]
    public async Task Entries_that_span_frames_and_lie_apart_come_out_right()
    {
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < 20; i++) maker.Add($"./{i:d2}", Sample.Noise(900_000 + i, i));
        byte[] tar = maker.End();
        Snapshot made = await Sample.WriteAsync(Archive(), tar);
        await using SnapshotReader reader = await Archive().OpenAsync(made, default);
        FileEntry[] chosen = [.. reader.Files.Where((_, i) => i is 1 or 2 or 9 or 20)];
        TarScanTests.Scan(await Sample.ReadAllAsync(await reader.OpenTarAsync(chosen, default))).Select(f => (f.Path, f.Digest)).ShouldBe(chosen.Select(f => (f.Path, f.Digest)));
        (await Sample.ReadAllAsync(await reader.OpenTarAsync([], default))).ShouldBe(new byte[1024]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_hundred_thousand_small_files_have_a_small_index()
    {
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < 100_000; i++) maker.Add($"./dir{i % 100}/file{i:d6}", Encoding.ASCII.GetBytes($"content of {i}"), mtime: 1_700_000_000 + i % 977);
        byte[] tar = maker.End();
        Snapshot made = await Sample.WriteAsync(Archive(), tar);
        made.Files.ShouldBe(100_000);
        _objects.Objects[Stem + ".files.zst"].Length.ShouldBeLessThan(2_000_000);
        await using SnapshotReader reader = await Archive().OpenAsync(made, default);
        reader.Files.Count.ShouldBe(100_001);
        reader.Files[77_777].ShouldBe(TarScanTests.Scan(tar)[77_777]);
        (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
    }

    private static string Shell(string directory, string command)
    {
        using Process shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command]) { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = shell.StandardOutput.ReadToEnd() + shell.StandardError.ReadToEnd();
        shell.WaitForExit();
        return output;
    }
}
