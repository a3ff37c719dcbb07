using Backup.Stores;
using Backup.Stores.S3;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Stores;

/// <summary>A real Ceph behind a proxy that breaks things. Each test also asserts that its fault was hit.</summary>
[Collection("s3")]
public sealed class S3FaultTests(S3Fixture servers) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private const int Part = (int)S3Server.SmallPart;

    private static readonly RetrySchedule Quick = new(4, TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(20));
    private static readonly S3Timeouts Short = new(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(3), long.MaxValue, TimeSpan.FromSeconds(1));

    private readonly RecordingContext _context = new();
    private FaultProxy _proxy = null!;
    private S3ObjectStore _store = null!;

    public async Task InitializeAsync()
    {
        S3Server ceph = await servers.CephAsync();
        _proxy = new FaultProxy(ceph.Url.Port);
        _store = ceph.Open(_context, new S3Tuning(Short, Quick, Quick), _proxy.Url);
    }

    public async Task DisposeAsync()
    {
        await _store.DisposeAsync();
        await _proxy.DisposeAsync();
    }

    private static bool IsPart(ProxiedRequest r) => r.Method == "PUT" && r.Target.Contains("partNumber=", StringComparison.Ordinal);
    private static bool IsComplete(ProxiedRequest r) => r.Method == "POST" && r.Target.Contains("uploadId=", StringComparison.Ordinal);
    private static bool IsStart(ProxiedRequest r) => r.Method == "POST" && r.Target.EndsWith("?uploads", StringComparison.Ordinal);
    private static bool IsAbort(ProxiedRequest r) => r.Method == "DELETE" && r.Target.Contains("uploadId=", StringComparison.Ordinal);
    private static bool IsList(ProxiedRequest r) => r.Method == "GET" && r.Target.Contains("list-type=2", StringComparison.Ordinal);
    private static bool IsGet(ProxiedRequest r) => r.Method == "GET" && !r.Target.Contains('?');
    private static bool Is(string method, ProxiedRequest r) => r.Method == method;

    private static byte[] Bytes(int count)
    {
        var bytes = new byte[count];
        new Random(count).NextBytes(bytes);
        return bytes;
    }

    private async Task<ObjectReceipt> PutAsync(string key, byte[] bytes)
    {
        await using ObjectWriter writer = await _store.CreateAsync(key, null, default);
        for (int at = 0; at < bytes.Length; at += 200_000) await writer.WriteAsync(bytes.AsMemory(at, Math.Min(200_000, bytes.Length - at)), default);
        return await writer.CommitAsync(default);
    }

    private async Task<byte[]> GetAsync(string key)
    {
        await using Stream stream = (await _store.OpenReadAsync(key, 0, null, default)).ShouldNotBeNull();
        var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes);
        return bytes.ToArray();
    }

    private async Task ShouldHoldAsync(string key, byte[] bytes)
    {
        (await _store.HeadAsync(key, default))!.Size.ShouldBe(bytes.Length);
        (await GetAsync(key)).AsSpan().SequenceEqual(bytes).ShouldBeTrue("the object is not what was written");
        (await _store.AbortUploadsAsync(key, default)).ShouldBe(0, "an unfinished upload was left behind");
    }

    public static TheoryData<string, ProxyFault> UploadFaults => new()
    {
        { "part", ProxyFault.S3Error(503, "SlowDown") },
        { "part", ProxyFault.S3Error(500, "InternalError") },
        { "part", new ProxyFault.Answer(502, "<html>bad gateway</html>", "text/html") },
        { "part", ProxyFault.S3Error(400, "BadDigest") },
        { "part", new ProxyFault.ResetRequest(1_000_000) },
        { "part", new ProxyFault.ResetRequest(0) },
        { "part", new ProxyFault.StallRequest(1_000_000) },
        { "part", new ProxyFault.LoseAnswer() },
        { "start", ProxyFault.S3Error(503, "SlowDown") },
        { "complete", ProxyFault.S3Error(503, "SlowDown") },
        { "complete", ProxyFault.S3Error(200, "InternalError") },
        { "complete", new ProxyFault.LoseAnswer() },
        { "complete", new ProxyFault.ResetRequest(10) },
        { "head", new ProxyFault.LoseAnswer() },
    };

    [Theory(Timeout = Limit)]
    [MemberData(nameof(UploadFaults))]
    public async Task A_multipart_upload_survives_two_faults_of_any_call(string call, ProxyFault fault)
    {
        byte[] bytes = Bytes(3 * Part + 99);
        _proxy.FailFirst(2, call switch { "part" => IsPart, "start" => IsStart, "complete" => IsComplete, _ => r => Is("HEAD", r) }, fault);
        (await PutAsync("big", bytes)).Parts.Count.ShouldBe(4);
        _proxy.Hits.ShouldBe(2);
        await ShouldHoldAsync("big", bytes);
    }

    public static TheoryData<ProxyFault> PutFaults =>
        [ProxyFault.S3Error(503, "SlowDown"), new ProxyFault.ResetRequest(5_000), new ProxyFault.StallRequest(5_000), new ProxyFault.LoseAnswer()];

    [Theory(Timeout = Limit)]
    [MemberData(nameof(PutFaults))]
    public async Task A_single_put_survives_two_faults(ProxyFault fault)
    {
        byte[] bytes = Bytes(70_000);
        _proxy.FailFirst(2, r => Is("PUT", r), fault);
        await PutAsync("small", bytes);
        _proxy.Hits.ShouldBe(2);
        await ShouldHoldAsync("small", bytes);
    }

    public static TheoryData<ProxyFault> ReadFaults =>
        [new ProxyFault.ResetAnswer(1_000_000), new ProxyFault.CutAnswer(1_000_000), new ProxyFault.StallAnswer(1_000_000), new ProxyFault.CutAnswer(0)];

    [Theory(Timeout = Limit)]
    [MemberData(nameof(ReadFaults))]
    public async Task A_read_goes_on_where_it_was_cut(ProxyFault fault)
    {
        byte[] bytes = Bytes(4_500_000);
        await PutAsync("read", bytes);
        _proxy.FailFirst(2, IsGet, fault);
        (await GetAsync("read")).AsSpan().SequenceEqual(bytes).ShouldBeTrue();
        _proxy.Hits.ShouldBe(2);
        _proxy.Requests.Count(r => r.StartsWith("GET", StringComparison.Ordinal)).ShouldBe(3);
    }

    [Fact(Timeout = Limit)]
    public async Task A_read_that_is_always_cut_fails_in_the_end()
    {
        await PutAsync("read", Bytes(100_000));
        _proxy.FailFirst(100, IsGet, new ProxyFault.CutAnswer(0));
        StoreException failure = await Should.ThrowAsync<StoreException>(() => GetAsync("read"));
        failure.Transient.ShouldBeTrue();
        _proxy.Hits.ShouldBe(Quick.Attempts);
    }

    [Fact(Timeout = Limit)]
    public async Task An_object_that_was_replaced_while_it_was_read_is_noticed()
    {
        byte[] bytes = Bytes(4_500_000);
        await PutAsync("read", bytes);
        _proxy.FailFirst(1, IsGet, new ProxyFault.CutAnswer(1_000_000));
        await using Stream stream = (await _store.OpenReadAsync("read", 0, null, default)).ShouldNotBeNull();
        await stream.ReadExactlyAsync(new byte[1000]);
        bytes[4_000_000] ^= 1;
        await PutAsync("read", bytes);
        StoreException failure = await Should.ThrowAsync<StoreException>(() => stream.CopyToAsync(Stream.Null));
        failure.Problem.ShouldContain("replaced or deleted while it was read");
        _proxy.Hits.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task A_completion_that_happened_although_its_answer_was_lost_and_the_upload_is_gone_counts()
    {
        byte[] bytes = Bytes(Part + 1);
        _proxy.FailFirst(1, IsComplete, new ProxyFault.LoseAnswer()).FailFirst(1, IsComplete, ProxyFault.S3Error(404, "NoSuchUpload"));
        await PutAsync("big", bytes);
        _proxy.Hits.ShouldBe(2);
        await ShouldHoldAsync("big", bytes);
    }

    [Fact(Timeout = Limit)]
    public async Task A_completion_of_an_upload_that_is_gone_without_its_object_fails()
    {
        _proxy.FailFirst(9, IsComplete, ProxyFault.S3Error(404, "NoSuchUpload"));
        StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync("big", Bytes(Part + 1)));
        failure.Problem.ShouldContain("NoSuchUpload");
        _proxy.Hits.ShouldBe(1);
        (await _store.HeadAsync("big", default)).ShouldBeNull();
        (await _store.AbortUploadsAsync("big", default)).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task An_object_of_the_wrong_size_after_completion_is_refused_and_removed()
    {
        _proxy.FailFirst(1, r => Is("HEAD", r), new ProxyFault.Answer(200, "seventeen bytes!!"));
        StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync("big", Bytes(Part + 1)));
        failure.Problem.ShouldContain("not what was sent");
        _proxy.Hits.ShouldBe(1);
        (await _store.HeadAsync("big", default)).ShouldBeNull();
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_stays_down_fails_the_upload_soon_and_leaves_nothing_once_it_is_back()
    {
        bool down = true;
        _proxy.FailFirst(int.MaxValue, r => down && (IsPart(r) || IsAbort(r)), ProxyFault.S3Error(503, "ServiceUnavailable"));
        StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync("big", Bytes(4 * Part)));
        failure.Transient.ShouldBeTrue();
        failure.Problem.ShouldContain("uploading part ");
        _proxy.Hits.ShouldBeInRange(Quick.Attempts + 1, 3 * Quick.Attempts);
        _context.Events.OfType<RunEvent.Step>().ShouldContain(s => s.Text.Contains("backup prune"));
        down = false;
        (await _store.AbortUploadsAsync("big", default)).ShouldBe(1);
        (await _store.HeadAsync("big", default)).ShouldBeNull();
    }

    [Fact(Timeout = Limit)]
    public async Task Credentials_refused_in_the_middle_are_not_tried_again()
    {
        _proxy.FailFirst(100, IsPart, ProxyFault.S3Error(403, "InvalidAccessKeyId"));
        StoreException failure = await Should.ThrowAsync<StoreException>(() => PutAsync("big", Bytes(Part + 1)));
        failure.Transient.ShouldBeFalse();
        failure.Hint.ShouldContain("env:BACKUP_TEST_S3_CEPH_KEY");
        _proxy.Hits.ShouldBeInRange(1, 2);
        (await _store.AbortUploadsAsync("big", default)).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task An_upload_that_moves_no_byte_is_cut_long_before_its_own_deadline_and_tried_again()
    {
        var patient = new S3Tuning(S3Timeouts.Default with { UploadStall = TimeSpan.FromSeconds(1) }, Quick, Quick);
        await using S3ObjectStore store = (await servers.CephAsync()).Open(_context, patient, _proxy.Url);
        _proxy.FailFirst(1, IsPart, new ProxyFault.StallRequest(1000));
        byte[] bytes = Bytes(2 * Part);
        await using ObjectWriter writer = await store.CreateAsync("big", null, default);
        await writer.WriteAsync(bytes, default);
        ObjectReceipt receipt = await writer.CommitAsync(default);
        receipt.Size.ShouldBe(bytes.Length);
        _proxy.Hits.ShouldBe(1);
        _context.Events.OfType<RunEvent.Step>().ShouldContain(e => e.Text.Contains("took no more of the data for 1 s"));
    }

    [Fact(Timeout = Limit)]
    public async Task Cancelling_a_stalled_upload_returns_at_once_and_aborts_it()
    {
        var stalled = new TaskCompletionSource();
        _proxy.Fault = r =>
        {
            if (!IsPart(r)) return null;
            stalled.TrySetResult();
            return new ProxyFault.StallRequest(1000);
        };
        using var cancel = new CancellationTokenSource();
        await using (ObjectWriter writer = await _store.CreateAsync("big", null, default))
        {
            await writer.WriteAsync(Bytes(2 * Part), default);
            Task commit = writer.CommitAsync(cancel.Token);
            await stalled.Task;
            await cancel.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(() => commit);
        }
        (await _store.AbortUploadsAsync("big", default)).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_later_page_of_a_listing_is_tried_again()
    {
        await PutAsync("a", [1]);
        string page = "<?xml version=\"1.0\"?><ListBucketResult><Name>test</Name><IsTruncated>true</IsTruncated><NextContinuationToken>0</NextContinuationToken></ListBucketResult>";
        _proxy.FailFirst(1, IsList, new ProxyFault.Answer(200, page)).FailFirst(2, IsList, ProxyFault.S3Error(503, "SlowDown"));
        var keys = new List<string>();
        await foreach (ObjectInfo found in _store.ListAsync("", default)) keys.Add(found.Key);
        keys.ShouldBe(["a"]);
        _proxy.Hits.ShouldBe(3);
    }

    [Theory(Timeout = Limit)]
    [InlineData("<html><body>Please log in</body></html>", "text/html")]
    [InlineData("<?xml version=\"1.0\"?><ListBucketResult><Name>other</Name></ListBucketResult>", "application/xml")]
    [InlineData("", "text/html")]
    public async Task A_page_that_is_no_listing_of_our_bucket_is_not_an_empty_bucket(string body, string type)
    {
        _proxy.FailFirst(1, IsList, new ProxyFault.Answer(200, body, type));
        StoreException failure = await Should.ThrowAsync<StoreException>(async () =>
        {
            await foreach (ObjectInfo _ in _store.ListAsync("", default)) { }
        });
        failure.Hint.ShouldContain("\"endpoint\"");
        failure.Transient.ShouldBeFalse();
        _proxy.Hits.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task Small_calls_behind_the_retrying_store_survive_a_bad_moment()
    {
        await PutAsync("a", [1, 2, 3]);
        var store = new RetryingObjectStore(_store, _context.Run, Quick);
        _proxy.FailFirst(2, r => Is("HEAD", r), ProxyFault.S3Error(503, "SlowDown"));
        _proxy.FailFirst(2, IsGet, new ProxyFault.LoseAnswer());
        _proxy.FailFirst(2, IsList, new ProxyFault.LoseAnswer());
        _proxy.FailFirst(2, r => Is("DELETE", r), new ProxyFault.LoseAnswer());
        (await store.HeadAsync("a", default))!.Size.ShouldBe(3);
        await using (Stream stream = (await store.OpenReadAsync("a", 1, null, default)).ShouldNotBeNull()) stream.ReadByte().ShouldBe(2);
        int count = 0;
        await foreach (ObjectInfo _ in store.ListAsync("", default)) count++;
        count.ShouldBe(1);
        await store.DeleteAsync("a", default);
        (await store.HeadAsync("a", default)).ShouldBeNull();
        _proxy.Hits.ShouldBe(8);
    }

    [Fact(Timeout = Limit)]
    public async Task An_object_of_too_many_parts_is_refused_with_the_setting_that_helps()
    {
        await using S3ObjectStore store = (await servers.CephAsync()).Open(_context, new S3Tuning(Short, Quick, Quick) { MaxParts = 2 }, _proxy.Url);
        await using (ObjectWriter writer = await store.CreateAsync("big", null, default))
        {
            await writer.WriteAsync(Bytes(2 * Part), default);
            StoreException failure = await Should.ThrowAsync<StoreException>(async () =>
            {
                await writer.WriteAsync(Bytes(Part + 1), default);
                await writer.CommitAsync(default);
            });
            failure.Hint.ShouldContain("\"partSize\"");
        }
        (await store.AbortUploadsAsync("big", default)).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_server_that_cannot_list_uploads_has_none_to_abort()
    {
        _proxy.FailFirst(1, r => r.Target.Contains("uploads", StringComparison.Ordinal), ProxyFault.S3Error(501, "NotImplemented"));
        (await _store.AbortUploadsAsync("a", default)).ShouldBe(0);
        _proxy.Hits.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task A_slow_line_is_slow_and_nothing_worse()
    {
        _proxy.UploadBytesPerSecond = 1_000_000;
        byte[] bytes = Bytes(1_500_000);
        long start = Environment.TickCount64;
        await PutAsync("slow", bytes);
        (Environment.TickCount64 - start).ShouldBeGreaterThan(1_200);
        await ShouldHoldAsync("slow", bytes);
    }
}
