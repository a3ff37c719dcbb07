using Backup.Streams;
using Backup.Tests.Snapshots;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

public sealed class SpoolTests : IDisposable
{
    private const long MiB = 1 << 20, GiB = 1 << 30;
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "spool-" + Path.GetRandomFileName());
    private readonly List<RunEvent.Warning> _warnings = [];

    public void Dispose()
    {
        if (File.Exists(_folder)) File.Delete(_folder);
        else if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(100 * GiB, null, 50 * GiB)] // half of what is free
    [InlineData(1500 * MiB, null, 476 * MiB)] // so that 1 GiB stays
    [InlineData(900 * MiB, null, 0)]
    [InlineData(0, null, 0)]
    [InlineData(100 * GiB, 8 * GiB, 8 * GiB)]
    [InlineData(10 * GiB, 8 * GiB, 5 * GiB)] // the policy does not make the disk larger
    [InlineData(100 * GiB, 0L, 0)]
    public void Its_share_of_the_disk_leaves_the_containers_room(long free, long? maxBytes, long share) => Spool.Share(free, maxBytes).ShouldBe(share);

    [Fact]
    public void Several_in_one_place_divide_its_room()
    {
        using Spool whole = Open(6 * MiB), one = whole.ShareOf(3), other = whole.ShareOf(3);
        foreach (Spool share in new[] { one, other })
        {
            share.Prepare();
            share.TryTake((int)MiB).ShouldNotBeNull();
            share.TryTake((int)MiB).ShouldNotBeNull();
            share.TryTake((int)MiB).ShouldBeNull();
        }
    }

    [Fact]
    public void The_room_of_a_directory_that_is_not_there_yet_is_that_of_its_disk() =>
        new Spool(Path.Combine(_folder, "a", "b"), 5 * MiB, Sample.Context(), floor: 0).Room().ShouldBe(5 * MiB);

    [Fact]
    public void What_was_written_comes_back()
    {
        using Spool spool = Open(64 * MiB);
        byte[] large = Sample.Noise(Spool.SlotBytes, 1), small = Sample.Noise(5, 2);
        SpoolSlot one = spool.TryTake(large.Length)!, two = spool.TryTake(small.Length)!;
        spool.Write(one, large);
        spool.Write(two, small);
        Read(spool, two).ShouldBe(small);
        Read(spool, one).AsSpan().SequenceEqual(large).ShouldBeTrue();
    }

    [Fact]
    public void It_has_no_name_while_it_is_used_so_a_killed_process_leaves_nothing()
    {
        using Spool spool = Open(64 * MiB);
        spool.Write(spool.TryTake(10)!, new byte[10]);
        Directory.EnumerateFileSystemEntries(_folder).ShouldBeEmpty();
    }

    [Fact]
    public void A_name_that_a_process_left_when_it_was_killed_while_opening_is_no_obstacle()
    {
        Directory.CreateDirectory(_folder);
        File.WriteAllText(Path.Combine(_folder, "spool"), "");
        using Spool spool = Open(64 * MiB);
        spool.TryTake(10).ShouldNotBeNull();
        Directory.EnumerateFileSystemEntries(_folder).ShouldBeEmpty();
        _warnings.ShouldBeEmpty();
    }

    [Fact]
    public void A_full_one_refuses_says_so_once_and_takes_again_what_was_freed()
    {
        using Spool spool = Open(3 * MiB);
        SpoolSlot first = spool.TryTake(2 << 20)!;
        spool.Write(first, new byte[2 << 20]);
        spool.TryTake(2 << 20).ShouldBeNull();
        spool.TryTake(2 << 20).ShouldBeNull();
        RunEvent.Warning warning = _warnings.ShouldHaveSingleItem();
        warning.Problem.ShouldContain(_folder);
        warning.Hint.ShouldContain("maxBytes");
        SpoolSlot small = spool.TryTake(1000).ShouldNotBeNull("what is small still fits");
        spool.Free(first);
        spool.Used.ShouldBe(4096);
        spool.TryTake(2 << 20).ShouldNotBeNull();
        spool.Free(small);
    }

    [Fact]
    public void What_is_freed_is_given_back_to_the_disk()
    {
        using Spool spool = Open(640 * MiB);
        var slots = new List<SpoolSlot>();
        for (int i = 0; i < 50; i++)
        {
            SpoolSlot slot = spool.TryTake(2 << 20)!;
            spool.Write(slot, Sample.Noise(2 << 20, i));
            slots.Add(slot);
        }
        OnDisk(spool).ShouldBeGreaterThanOrEqualTo(100 * MiB);
        foreach (SpoolSlot slot in slots) spool.Free(slot);
        OnDisk(spool).ShouldBe(0);
        spool.Used.ShouldBe(0);
    }

    [Fact]
    public void A_directory_that_cannot_hold_it_is_a_warning_and_no_room()
    {
        File.WriteAllText(_folder, "a file");
        using Spool spool = Open(64 * MiB);
        spool.TryTake(10).ShouldBeNull();
        _warnings.ShouldHaveSingleItem().Problem.ShouldContain(_folder);
    }

    [Fact]
    public void Without_being_prepared_it_holds_nothing_and_touches_no_disk()
    {
        using var spool = new Spool(_folder, null, Sample.Context());
        spool.TryTake(10).ShouldBeNull();
        Directory.Exists(_folder).ShouldBeFalse();
    }

    private Spool Open(long maxBytes)
    {
        var spool = new Spool(_folder, maxBytes, Sample.Context(events: e => { if (e is RunEvent.Warning warning) _warnings.Add(warning); }), floor: 0);
        spool.Prepare();
        return spool;
    }

    private static byte[] Read(Spool spool, SpoolSlot slot)
    {
        var bytes = new byte[slot.Length];
        spool.Read(slot, bytes);
        return bytes;
    }

    /// <summary>Bytes of disk that the nameless file of this process takes.</summary>
    private long OnDisk(Spool spool)
    {
        string file = Directory.EnumerateFiles("/proc/self/fd").Single(fd => new FileInfo(fd).LinkTarget == $"{Path.GetFullPath(spool.Directory)}/spool (deleted)");
        var stat = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("stat", ["-L", "-c", "%b", $"/proc/{Environment.ProcessId}/fd/{Path.GetFileName(file)}"]) { RedirectStandardOutput = true })!;
        return long.Parse(stat.StandardOutput.ReadToEnd(), System.Globalization.CultureInfo.InvariantCulture) * 512;
    }
}
