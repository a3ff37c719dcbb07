using Backup.Policies;
using Backup.Stores;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Stores;

public sealed class DirectoryObjectStoreTests : IDisposable
{
    private const int Limit = 60_000;

    private readonly string _root = Directory.CreateTempSubdirectory("backup-store-").FullName;
    private readonly RecordingContext _context = new();
    private readonly DirectoryObjectStore _store;

    public DirectoryObjectStoreTests() => _store = Open(_root);

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private DirectoryObjectStore Open(string path) => new(new DirectoryStorePolicy("disk", path), _context.Run);

    private static async Task PutAsync(DirectoryObjectStore store, string key, int size = 10)
    {
        await using ObjectWriter writer = await store.CreateAsync(key, null, default);
        await writer.WriteAsync(new byte[size], default);
        await writer.CommitAsync(default);
    }

    private async Task<string[]> KeysAsync(string prefix = "")
    {
        var keys = new List<string>();
        await foreach (ObjectInfo found in _store.ListAsync(prefix, default)) keys.Add(found.Key);
        return [.. keys.Order(StringComparer.Ordinal)];
    }

    [Fact(Timeout = Limit)]
    public async Task Files_and_folders_are_for_their_owner_only()
    {
        await PutAsync(_store, "a/b/c");
        File.GetUnixFileMode(Path.Combine(_root, "a/b/c")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        foreach (string folder in new[] { "a", "a/b" })
            File.GetUnixFileMode(Path.Combine(_root, folder)).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    [Fact(Timeout = Limit)]
    public async Task Strangers_files_are_neither_listed_nor_deleted()
    {
        await PutAsync(_store, "a/b/c");
        File.WriteAllText(Path.Combine(_root, "a", "not a key"), "");
        File.WriteAllText(Path.Combine(_root, "a", "b", ".c#123456789abc"), "left by a killed run");
        (await KeysAsync()).ShouldBe(["a/b/c"]);
        (await _store.AbortUploadsAsync("a/b/d", default)).ShouldBe(0);
        (await _store.AbortUploadsAsync("a/b/c", default)).ShouldBe(1);
        await _store.DeleteAsync("a/b/c", default);
        Directory.Exists(Path.Combine(_root, "a", "b")).ShouldBeFalse("an empty folder goes with its last object");
        File.Exists(Path.Combine(_root, "a", "not a key")).ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task The_root_itself_stays_when_the_last_object_goes()
    {
        await PutAsync(_store, "a/b");
        await _store.DeleteAsync("a/b", default);
        Directory.GetFileSystemEntries(_root).ShouldBeEmpty();
        Directory.Exists(_root).ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task Writing_and_deleting_in_one_folder_at_once_loses_nothing()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 200), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (i, _) =>
        {
            await PutAsync(_store, $"busy/x/{i}");
            if (i % 2 == 0) await _store.DeleteAsync($"busy/x/{i}", default);
        });
        (await KeysAsync()).Length.ShouldBe(100);
    }

    [Fact(Timeout = Limit)]
    public async Task Six_thousand_objects_are_listed_each_once()
    {
        for (int i = 0; i < 2_000; i++)
        {
            string folder = Directory.CreateDirectory(Path.Combine(_root, "env", $"volume{i % 20}", $"{i:d8}")).FullName;
            foreach (string name in new[] { "data.tar.zst", "index.zst", "manifest.json" }) File.WriteAllText(Path.Combine(folder, name), "x");
        }
        (await KeysAsync("env/volume1/")).Length.ShouldBe(300);
        (await KeysAsync("env/")).Distinct().Count().ShouldBe(6_000);
    }

    [Fact(Timeout = Limit)]
    public async Task A_full_disk_names_the_path_and_a_cure_and_leaves_nothing()
    {
        string small = Path.Combine(_root, "small");
        Directory.CreateDirectory(small);
        Require.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small);
        try
        {
            DirectoryObjectStore store = Open(small);
            await PutAsync(store, "fits", 1 << 20);
            StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync(store, "a/toobig", 8 << 20));
            failure.Problem.ShouldContain("store 'disk' is full");
            failure.Problem.ShouldContain(Path.Combine(small, "a/toobig"));
            failure.Problem.ShouldContain("MiB free)");
            failure.Hint.ShouldContain("backup prune");
            failure.Transient.ShouldBeFalse();
            Directory.GetFiles(small, "*", SearchOption.AllDirectories).ShouldBe([Path.Combine(small, "fits")]);
            await PutAsync(store, "alsofits", 100_000);
        }
        finally
        {
            Require.Command("umount", small);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_path_that_is_a_file_is_the_stores_failure()
    {
        string file = Path.Combine(_root, "file");
        File.WriteAllText(file, "");
        StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync(Open(file), "a/b"));
        failure.Problem.ShouldContain(file);
        failure.Store.ShouldBe("disk");
    }

    [Fact(Timeout = Limit)]
    public async Task A_path_that_is_a_file_is_no_empty_store()
    {
        string file = Path.Combine(_root, "file");
        File.WriteAllText(file, "");
        StoreException failure = await Should.ThrowAsync<StoreException>(async () =>
        {
            await foreach (ObjectInfo _ in Open(file).ListAsync("a/", default)) { }
        });
        failure.Problem.ShouldBe($"store 'disk': {file} is not a folder");
    }

    [Fact(Timeout = Limit)]
    public async Task Only_temporary_files_of_our_own_naming_count_as_unfinished()
    {
        string folder = Directory.CreateDirectory(Path.Combine(_root, "a", "b")).FullName;
        foreach (string name in new[] { ".c#0123456789ab", ".c#tooshort", "c#0123456789ab", ".#0123456789ab", ".c#0123456789AB", ".emacs#" })
            File.WriteAllText(Path.Combine(folder, name), "");
        var found = new List<string>();
        await foreach (UnfinishedUpload upload in _store.ListUploadsAsync("", default)) found.Add(upload.Key);
        found.ShouldBe(["a/b/c"]);
        (await KeysAsync()).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_is_not_there_yet_is_empty()
    {
        DirectoryObjectStore store = Open(Path.Combine(_root, "later"));
        await foreach (ObjectInfo _ in store.ListAsync("", default)) throw new InvalidOperationException("nothing can be there");
        (await store.HeadAsync("a", default)).ShouldBeNull();
    }
}
