using System.Security.Cryptography;
using Backup.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Contracts;

/// <summary>What every object store owes, the fakes included. A new store derives from this and says how it is opened.</summary>
public abstract class ObjectStoreContract : IAsyncLifetime
{
    private const int Limit = 120_000;

    private IObjectStore _store = null!;

    /// <summary>Opens a store in which nobody else writes below any key.</summary>
    protected abstract Task<IObjectStore> OpenAsync();

    /// <summary>Sizes around this one are tried: where the store cuts parts.</summary>
    protected virtual int PartSize => 512 << 10;

    /// <summary>False for a store that cannot list unfinished uploads.</summary>
    protected virtual bool FindsUnfinished => true;

    protected IObjectStore Store => _store;

    public virtual async Task InitializeAsync() => _store = await OpenAsync();

    public virtual async Task DisposeAsync() => await _store.DisposeAsync();

    protected static byte[] Bytes(int count, int seed = 1)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    protected static async Task<ObjectReceipt> PutAsync(IObjectStore store, string key, byte[] bytes, int step = 100_000, long? hint = null)
    {
        await using ObjectWriter writer = await store.CreateAsync(key, hint, default);
        for (int at = 0; at < bytes.Length; at += step)
            await writer.WriteAsync(bytes.AsMemory(at, Math.Min(step, bytes.Length - at)), default);
        return await writer.CommitAsync(default);
    }

    protected static async Task<byte[]?> GetAsync(IObjectStore store, string key, long offset = 0, long? length = null)
    {
        await using Stream? stream = await store.OpenReadAsync(key, offset, length, default);
        if (stream is null) return null;
        var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes);
        return bytes.ToArray();
    }

    protected static async Task<string[]> KeysAsync(IObjectStore store, string prefix)
    {
        var keys = new List<string>();
        await foreach (ObjectInfo found in store.ListAsync(prefix, default)) keys.Add(found.Key);
        keys.Sort(StringComparer.Ordinal);
        return [.. keys];
    }

    private static string Sha256(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    [Fact(Timeout = Limit)]
    public async Task Nothing_is_visible_before_the_commit_and_everything_after_it()
    {
        byte[] bytes = Bytes(PartSize + 10);
        await using (ObjectWriter writer = await Store.CreateAsync("a/data", null, default))
        {
            await writer.WriteAsync(bytes, default);
            (await Store.HeadAsync("a/data", default)).ShouldBeNull();
            (await GetAsync(Store, "a/data")).ShouldBeNull();
            (await KeysAsync(Store, "")).ShouldBeEmpty();
            await writer.CommitAsync(default);
            (await Store.HeadAsync("a/data", default))!.Size.ShouldBe(bytes.Length);
        }
        (await GetAsync(Store, "a/data")).ShouldBe(bytes);
        (await KeysAsync(Store, "")).ShouldBe(["a/data"]);
    }

    [Theory(Timeout = Limit)]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(1)]
    public async Task Dispose_without_commit_discards_everything(int parts)
    {
        ObjectWriter writer = await Store.CreateAsync("a/data", null, default);
        await writer.WriteAsync(Bytes(parts * PartSize / 4 + 1), default);
        await writer.DisposeAsync();
        await writer.DisposeAsync();
        (await KeysAsync(Store, "")).ShouldBeEmpty();
        (await Store.AbortUploadsAsync("a/data", default)).ShouldBe(0, "the writer itself cleans up");
    }

    [Fact(Timeout = Limit)]
    public async Task A_disposed_or_committed_writer_takes_no_more()
    {
        ObjectWriter writer = await Store.CreateAsync("a", null, default);
        await writer.CommitAsync(default);
        await Should.ThrowAsync<ObjectDisposedException>(async () => await writer.WriteAsync(new byte[1], default));
        await Should.ThrowAsync<ObjectDisposedException>(() => writer.CommitAsync(default));
        await writer.DisposeAsync();
        (await Store.HeadAsync("a", default)).ShouldNotBeNull("disposing after a commit must not take the object away");
    }

    [Fact(Timeout = Limit)]
    public async Task Objects_of_any_size_come_back_whole_with_right_receipts()
    {
        foreach (int size in new[] { 0, 1, 65_535, 65_536, 65_537, PartSize - 1, PartSize, PartSize + 1, 2 * PartSize, 3 * PartSize + 12_345 })
        {
            byte[] bytes = Bytes(size, size);
            ObjectReceipt receipt = await PutAsync(Store, $"sizes/{size}", bytes, step: 77_777, hint: size % 2 == 0 ? size : null);
            receipt.Size.ShouldBe(size);
            receipt.Sha256.ShouldBe(Sha256(bytes));
            receipt.Parts.ShouldNotBeEmpty();
            receipt.Parts.Sum(p => p.Size).ShouldBe(size);
            int at = 0;
            foreach (ObjectPart part in receipt.Parts)
            {
                part.Sha256.ShouldBe(Sha256(bytes.AsSpan(at, (int)part.Size)));
                at += (int)part.Size;
            }
            (await Store.HeadAsync($"sizes/{size}", default))!.Size.ShouldBe(size);
            (await GetAsync(Store, $"sizes/{size}"))!.AsSpan().SequenceEqual(bytes).ShouldBeTrue($"size {size}");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task The_caller_may_reuse_its_buffer_after_each_write()
    {
        var expected = new MemoryStream();
        var buffer = new byte[50_000];
        await using (ObjectWriter writer = await Store.CreateAsync("reuse", null, default))
        {
            for (int i = 0; i * buffer.Length < 2 * PartSize; i++)
            {
                new Random(i).NextBytes(buffer);
                expected.Write(buffer);
                await writer.WriteAsync(buffer, default);
                Array.Clear(buffer);
            }
            (await writer.CommitAsync(default)).Sha256.ShouldBe(Sha256(expected.ToArray()));
        }
        (await GetAsync(Store, "reuse"))!.AsSpan().SequenceEqual(expected.ToArray()).ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task Any_range_is_read_exactly_and_ranges_past_the_end_are_cut()
    {
        byte[] bytes = Bytes(PartSize + 1000);
        await PutAsync(Store, "range", bytes);
        var random = new Random(7);
        for (int i = 0; i < 25; i++)
        {
            int offset = random.Next(bytes.Length + 1), length = random.Next(1, bytes.Length - offset + 100);
            int cut = Math.Min(length, bytes.Length - offset);
            (await GetAsync(Store, "range", offset, length))!.AsSpan().SequenceEqual(bytes.AsSpan(offset, cut)).ShouldBeTrue($"{offset}+{length}");
        }
        (await GetAsync(Store, "range", bytes.Length - 3)).ShouldBe(bytes[^3..]);
        (await GetAsync(Store, "range", 5, 0)).ShouldBeEmpty();
        (await GetAsync(Store, "range", bytes.Length)).ShouldBeEmpty();
        (await GetAsync(Store, "range", bytes.Length + 10, 10)).ShouldBeEmpty();
        await PutAsync(Store, "empty", []);
        (await GetAsync(Store, "empty")).ShouldBeEmpty();
        (await GetAsync(Store, "empty", 0, 5)).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_absent_is_null_or_empty_and_deleting_it_is_fine()
    {
        (await Store.HeadAsync("no/such", default)).ShouldBeNull();
        (await Store.OpenReadAsync("no/such", 0, null, default)).ShouldBeNull();
        (await Store.OpenReadAsync("no/such", 5, 7, default)).ShouldBeNull();
        (await Store.OpenReadAsync("no/such", 0, 0, default)).ShouldBeNull();
        (await KeysAsync(Store, "no/")).ShouldBeEmpty();
        (await Store.AbortUploadsAsync("no/such", default)).ShouldBe(0);
        await Store.DeleteAsync("no/such", default);
        await PutAsync(Store, "one", [1]);
        await Store.DeleteAsync("one", default);
        await Store.DeleteAsync("one", default);
        (await Store.HeadAsync("one", default)).ShouldBeNull();
        await PutAsync(Store, "one", [1, 2]);
        (await GetAsync(Store, "one")).ShouldBe([1, 2]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_prefix_lists_its_own_keys_and_no_neighbours()
    {
        foreach (string key in new[] { "app1/x", "app1/y/z", "app10/x", "app1.json", "app/1", "zapp1/x" }) await PutAsync(Store, key, Bytes(key.Length));
        (await KeysAsync(Store, "app1/")).ShouldBe(["app1/x", "app1/y/z"]);
        (await KeysAsync(Store, "app1/y/")).ShouldBe(["app1/y/z"]);
        (await KeysAsync(Store, "app10/")).ShouldBe(["app10/x"]);
        (await KeysAsync(Store, "")).ShouldBe(["app/1", "app1.json", "app1/x", "app1/y/z", "app10/x", "zapp1/x"]);
        await Store.DeleteAsync("app1/x", default);
        await Store.DeleteAsync("app1", default);
        (await Store.OpenReadAsync("app1", 0, null, default)).ShouldBeNull();
        (await Store.HeadAsync("app1", default)).ShouldBeNull();
        (await KeysAsync(Store, "")).ShouldBe(["app/1", "app1.json", "app1/y/z", "app10/x", "zapp1/x"]);
        await Should.ThrowAsync<ArgumentException>(() => KeysAsync(Store, "app1"));
    }

    [Fact(Timeout = Limit)]
    public async Task A_listing_has_sizes_and_times()
    {
        DateTimeOffset before = DateTimeOffset.UtcNow.AddSeconds(-5);
        await PutAsync(Store, "a/b", Bytes(4321));
        await foreach (ObjectInfo found in Store.ListAsync("a/", default))
        {
            found.Size.ShouldBe(4321);
            found.Modified.ShouldBeInRange(before, DateTimeOffset.UtcNow.AddSeconds(5));
            ObjectInfo head = (await Store.HeadAsync("a/b", default))!;
            head.Size.ShouldBe(4321);
            (head.Modified - found.Modified).Duration().ShouldBeLessThan(TimeSpan.FromSeconds(1.5));
        }
    }

    [Fact(Timeout = Limit)]
    public async Task More_than_a_thousand_keys_are_listed_once_each()
    {
        string[] keys = [.. Enumerable.Range(0, 1_105).Select(i => $"many/{i % 7}/{i:d5}")];
        await Parallel.ForEachAsync(keys, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (key, _) => await PutAsync(Store, key, [1]));
        (await KeysAsync(Store, "many/")).ShouldBe(keys.Order(StringComparer.Ordinal));
        await Parallel.ForEachAsync(keys, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (key, cancel) => await Store.DeleteAsync(key, cancel));
        (await KeysAsync(Store, "")).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Every_character_a_key_may_have_is_kept()
    {
        string[] keys =
        [
            "odd/%20", "odd/%2F%00", "odd/a%", "odd/a+b", "odd/a=b", "odd/a@b", "odd/a~b", "odd/A", "odd/a", "odd/.hidden", "odd/..two", "odd/-dash", "odd/_", "odd/1.tar.zst",
            "odd/" + ObjectKey.Escape("bind:/srv/ünï cöde\n"), $"odd/{new string('x', 120)}/{new string('y', 120)}/{new string('z', 120)}",
        ];
        foreach (string key in keys) await PutAsync(Store, key, Bytes(10, key.Length));
        (await KeysAsync(Store, "odd/")).ShouldBe(keys.Order(StringComparer.Ordinal));
        foreach (string key in keys) (await GetAsync(Store, key)).ShouldBe(Bytes(10, key.Length), key);
        foreach (string key in keys) await Store.DeleteAsync(key, default);
        (await KeysAsync(Store, "")).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("")]
    [InlineData("/a")]
    [InlineData("a/")]
    [InlineData("a//b")]
    [InlineData("a/../b")]
    [InlineData("a b")]
    [InlineData("a#b")]
    public async Task A_key_that_breaks_the_rules_is_refused_everywhere(string key)
    {
        await Should.ThrowAsync<ArgumentException>(() => Store.CreateAsync(key, null, default));
        await Should.ThrowAsync<ArgumentException>(() => Store.OpenReadAsync(key, 0, null, default));
        await Should.ThrowAsync<ArgumentException>(() => Store.HeadAsync(key, default));
        await Should.ThrowAsync<ArgumentException>(() => Store.DeleteAsync(key, default));
        await Should.ThrowAsync<ArgumentException>(() => Store.AbortUploadsAsync(key, default));
    }

    [Fact(Timeout = Limit)]
    public async Task Writers_of_different_keys_do_not_disturb_each_other()
    {
        // more writers than any buffer budget, all open at once
        (int I, ObjectWriter Writer)[] writers = await Task.WhenAll(Enumerable.Range(0, 5).Select(async i => (i, await Store.CreateAsync($"c/{i}", null, default))));
        for (int at = 0; at < 8; at++)
            foreach (var (i, writer) in writers) await writer.WriteAsync(Bytes(PartSize / 4 + i, i * 100 + at), default);
        await Task.WhenAll(writers.Select(w => w.Writer.CommitAsync(default)));
        foreach (var (i, writer) in writers)
        {
            await writer.DisposeAsync();
            byte[] expected = [.. Enumerable.Range(0, 8).SelectMany(at => Bytes(PartSize / 4 + i, i * 100 + at))];
            (await GetAsync(Store, $"c/{i}"))!.AsSpan().SequenceEqual(expected).ShouldBeTrue($"c/{i}");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task What_a_dead_writer_left_is_found_by_exactly_its_key()
    {
        ObjectWriter dead = await Store.CreateAsync("left/a", null, default);
        await dead.WriteAsync(Bytes(2 * PartSize + 5), default);
        ObjectWriter other = await Store.CreateAsync("left/ab", null, default);
        await other.WriteAsync(Bytes(2 * PartSize + 5), default);

        (await KeysAsync(Store, "left/")).ShouldBeEmpty();
        (await Store.AbortUploadsAsync("left", default)).ShouldBe(0);
        (await Store.AbortUploadsAsync("left/a", default)).ShouldBe(FindsUnfinished ? 1 : 0);
        (await Store.AbortUploadsAsync("left/a", default)).ShouldBe(0);
        (await other.CommitAsync(default)).Size.ShouldBe(2 * PartSize + 5);
        (await KeysAsync(Store, "left/")).ShouldBe(["left/ab"]);

        await dead.DisposeAsync();
        (await KeysAsync(Store, "left/")).ShouldBe(["left/ab"]);
        (await Store.AbortUploadsAsync("left/ab", default)).ShouldBe(0);
        (await Store.HeadAsync("left/ab", default)).ShouldNotBeNull();
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_unfinished_is_listed_by_prefix_until_it_is_committed_or_aborted()
    {
        DateTimeOffset before = DateTimeOffset.UtcNow.AddSeconds(-5);
        await using ObjectWriter dead = await Store.CreateAsync("left/deep/a.tar.zst", null, default);
        await dead.WriteAsync(Bytes(2 * PartSize + 5), default);
        await using ObjectWriter other = await Store.CreateAsync("left1/b", null, default);
        await other.WriteAsync(Bytes(2 * PartSize + 5), default);
        await PutAsync(Store, "left/done", [1]);

        foreach (UnfinishedUpload upload in await UploadsAsync("left/"))
            upload.Touched.ShouldBeInRange(before, DateTimeOffset.UtcNow.AddSeconds(5));
        (await UploadsAsync("left/")).Select(u => u.Key).ShouldBe(FindsUnfinished ? ["left/deep/a.tar.zst"] : []);
        (await UploadsAsync("")).Select(u => u.Key).Order().ShouldBe(FindsUnfinished ? ["left/deep/a.tar.zst", "left1/b"] : []);
        await Should.ThrowAsync<ArgumentException>(() => UploadsAsync("left"));

        await other.CommitAsync(default);
        await Store.AbortUploadsAsync("left/deep/a.tar.zst", default);
        (await UploadsAsync("")).ShouldBeEmpty();
        (await UploadsAsync("no/such/")).ShouldBeEmpty();

        async Task<List<UnfinishedUpload>> UploadsAsync(string prefix)
        {
            var uploads = new List<UnfinishedUpload>();
            await foreach (UnfinishedUpload upload in Store.ListUploadsAsync(prefix, default)) uploads.Add(upload);
            return uploads;
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Cancellation_passes_untouched_and_leaves_nothing()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        CancellationToken token = cancelled.Token;
        await Should.ThrowAsync<OperationCanceledException>(() => Store.CreateAsync("x", null, token));
        await Should.ThrowAsync<OperationCanceledException>(() => Store.HeadAsync("x", token));
        await Should.ThrowAsync<OperationCanceledException>(() => Store.OpenReadAsync("x", 0, null, token));
        await Should.ThrowAsync<OperationCanceledException>(() => Store.DeleteAsync("x", token));
        await using (ObjectWriter writer = await Store.CreateAsync("x", null, default))
        {
            await writer.WriteAsync(Bytes(PartSize * 2 + 1), default);
            await Should.ThrowAsync<OperationCanceledException>(async () => await writer.WriteAsync(Bytes(10), token));
            await Should.ThrowAsync<OperationCanceledException>(() => writer.CommitAsync(token));
        }
        (await KeysAsync(Store, "")).ShouldBeEmpty();
        (await Store.AbortUploadsAsync("x", default)).ShouldBe(0);
    }
}
