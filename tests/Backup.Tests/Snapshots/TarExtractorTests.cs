using System.Diagnostics;
using Backup.Snapshots;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

public sealed class TarExtractorTests : IDisposable
{
    private const int Limit = 60_000;
    private readonly string _base = Directory.CreateTempSubdirectory("backup-extract-").FullName;
    private string Target => Path.Combine(_base, "target");

    // Not Directory.Delete: it cannot name what is not UTF-8.
    public void Dispose() => Process.Start("rm", ["-rf", _base]).WaitForExit();

    private Task<Extraction> Extract(byte[] tar, bool overwrite = false) => TarExtractor.ExtractAsync(new MemoryStream(tar), Target, overwrite, default);

    [Fact(Timeout = Limit)]
    public async Task What_was_extracted_is_what_stock_tar_extracts()
    {
        byte[] tar = Sample.Tar();
        Extraction done = await Extract(tar);
        done.Files.ShouldBe(9);
        string other = Path.Combine(_base, "stock");
        Directory.CreateDirectory(other);
        File.WriteAllBytes(Path.Combine(_base, "x.tar"), tar);
        Shell($"tar -xpf x.tar --numeric-owner --xattrs --xattrs-include='*' -C stock").ShouldBe("");
        const string list = "find . -printf '%p %y %m %U %G %T@ %s %l %n\\n' | sort";
        Shell($"cd target && {list}").ShouldBe(Shell($"cd stock && {list}"));
        Shell("diff -r --no-dereference target/a.txt stock/a.txt; cmp target/ping stock/ping; ls target | od -c | head -50").ShouldNotContain("differ");
        File.ReadAllText(Path.Combine(Target, "b.txt")).ShouldBe("hello\n");

        // Read back as a restore does it, capabilities included.
        Shell("tar --format=pax --numeric-owner --xattrs --xattrs-include=security.capability -cf back.tar -C target .").ShouldBe("");
        await using FileStream back = File.OpenRead(Path.Combine(_base, "back.tar"));
        (await TarComparison.CompareAsync(TarScanTests.Scan(tar), back, default)).Messages.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Setuid_and_owner_are_kept_by_root()
    {
        if (!Environment.IsPrivilegedProcess) { SkipIsFailure(); return; }
        Extraction done = await Extract(new TarMaker().Directory("./", 0x1C0).Add("./su", [1], mode: 0x9ED, uid: 1234, gid: 5678).Directory("./closed", 0).Add("./closed/x", [2]).End());
        done.Notes.ShouldBeEmpty();
        Shell("stat -c '%a %u %g' target/su target target/closed").ShouldBe("4755 1234 5678\n700 0 0\n0 0 0\n");
    }

    private static void SkipIsFailure()
    {
        if (Environment.GetEnvironmentVariable("BACKUP_TEST_DISALLOW_SKIP") == "1") throw new InvalidOperationException("needs root");
    }

    public static TheoryData<string, byte[]> Hostile() => new()
    {
        { "../evil", new TarMaker().Add("../evil", [1]).End() },
        { "a/../../evil", new TarMaker().Add("./a/../../evil", [1]).End() },
        { "/ABSOLUTE/evil", new TarMaker().Add("/ABSOLUTE/evil", [1]).End() },
        { "link/evil", new TarMaker().Symlink("./link", "..").Add("./link/evil", [1]).End() },
        { "link/deep/evil", new TarMaker().Symlink("./link", "..").Directory("./link/deep").Add("./link/deep/evil", [1]).End() },
        { "link/evil", new TarMaker().Symlink("./link", "..").HardLink("./link/evil", "./a").Add("./a", [1]).End() },
        { "hard", new TarMaker().HardLink("./hard", "../secret").End() },
        { "hard", new TarMaker().HardLink("./hard", "/etc/passwd").End() },
        { "hard", new TarMaker().Symlink("./link", "..").HardLink("./hard", "./link/secret").End() },
        { "dir/..", new TarMaker().Directory("./dir/..").End() },
        { "sparse", new TarMaker().Add("./sparse", [], 'S').End() },
    };

    [Theory(Timeout = Limit)]
    [MemberData(nameof(Hostile))]
    public async Task An_entry_that_tries_to_leave_the_target_is_refused_by_name(string entry, byte[] tar)
    {
        string secret = Path.Combine(_base, "secret");
        File.WriteAllText(secret, "untouched");
        string name = entry.Replace("link/deep/evil", "link/deep");
        BackupException e = await Should.ThrowAsync<BackupException>(() => Extract(tar));
        e.Problem.ShouldContain($"'{name}'");
        File.ReadAllText(secret).ShouldBe("untouched");
        Directory.EnumerateFileSystemEntries(_base).Select(Path.GetFileName).Order().ShouldBe(["secret", "target"]);
        File.Exists("/ABSOLUTE/evil").ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task A_file_over_a_link_replaces_the_link_and_not_what_it_points_to()
    {
        string secret = Path.Combine(_base, "secret");
        File.WriteAllText(secret, "untouched");
        await Extract(new TarMaker().Symlink("./x", "../secret").Add("./x", "new"u8.ToArray()).End());
        File.ReadAllText(secret).ShouldBe("untouched");
        File.ReadAllText(Path.Combine(Target, "x")).ShouldBe("new");
    }

    [Fact(Timeout = Limit)]
    public async Task A_directory_with_content_is_refused_unless_told_to_overwrite()
    {
        Directory.CreateDirectory(Target);
        File.WriteAllText(Path.Combine(Target, "old"), "old");
        File.WriteAllText(Path.Combine(Target, "a"), "old");
        byte[] tar = new TarMaker().Add("./a", "new"u8.ToArray()).End();
        (await Should.ThrowAsync<BackupException>(() => Extract(tar))).Problem.ShouldContain("not empty");
        File.ReadAllText(Path.Combine(Target, "a")).ShouldBe("old");
        await Extract(tar, overwrite: true);
        File.ReadAllText(Path.Combine(Target, "a")).ShouldBe("new");
        File.Exists(Path.Combine(Target, "old")).ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task A_tar_that_is_cut_is_an_error_even_at_an_entry_boundary() =>
        await Should.ThrowAsync<IncompleteTarException>(() => Extract(new TarMaker().Add("./a", [1]).Cut()));

    private string Shell(string command)
    {
        using Process shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command]) { WorkingDirectory = _base, RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = shell.StandardOutput.ReadToEnd() + shell.StandardError.ReadToEnd();
        shell.WaitForExit();
        return output;
    }
}
