using Backup.Policies;
using Backup.Stores;
using Backup.Stores.S3;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Stores;

/// <summary>Presets, addressing against a real gateway, and what a user reads when a setting is wrong.</summary>
[Collection("s3")]
public sealed class S3SettingsTests(S3Fixture servers)
{
    private const int Limit = 60_000;
    private static readonly RetrySchedule Once = new(1, TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
    private static readonly S3Tuning Tuning = new(S3Timeouts.Default, Once, Once);

    private readonly RecordingContext _context = new();

    private static S3StorePolicy Policy(S3Provider provider, string? region = null, string? endpoint = null) => new("cloud", provider, region, "bucket", "",
        endpoint is null ? null : new Uri(endpoint), null, new Secret("env:NONE", "$.id"), new Secret("env:NONE", "$.key"), null, null, null);

    [Theory]
    [InlineData(S3Provider.Aws, "eu-west-1", "https://s3.eu-west-1.amazonaws.com/", "Virtual")]
    [InlineData(S3Provider.Aws, "cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn/", "Virtual")]
    [InlineData(S3Provider.AliyunOss, "cn-hangzhou", "https://s3.oss-cn-hangzhou.aliyuncs.com/", "Virtual")]
    [InlineData(S3Provider.TencentCos, "ap-guangzhou", "https://cos.ap-guangzhou.myqcloud.com/", "Virtual")]
    [InlineData(S3Provider.B2, "eu-central-003", "https://s3.eu-central-003.backblazeb2.com/", "Virtual")]
    public void A_provider_with_a_region_needs_no_endpoint(S3Provider provider, string region, string endpoint, string addressing)
    {
        S3Presets.Endpoint(Policy(provider, region)).AbsoluteUri.ShouldBe(endpoint);
        S3Presets.Addressing(Policy(provider, region)).ToString().ShouldBe(addressing);
        S3Presets.Region(Policy(provider, region)).ShouldBe(region);
        S3Presets.Endpoint(Policy(provider, region, "https://own.example/")).AbsoluteUri.ShouldBe("https://own.example/");
        Should.Throw<StoreException>(() => S3Presets.Endpoint(Policy(provider))).Kind.ShouldBe(FailureKind.Usage);
    }

    [Theory]
    [InlineData(S3Provider.Minio, "us-east-1")]
    [InlineData(S3Provider.Ceph, "us-east-1")]
    [InlineData(S3Provider.Generic, "us-east-1")]
    [InlineData(S3Provider.R2, "auto")]
    public void A_self_hosted_one_needs_an_endpoint_and_no_region(S3Provider provider, string region)
    {
        StoreException failure = Should.Throw<StoreException>(() => S3Presets.Endpoint(Policy(provider)));
        failure.Kind.ShouldBe(FailureKind.Usage);
        failure.Hint.ShouldContain("\"endpoint\"");
        S3Presets.Region(Policy(provider)).ShouldBe(region);
        S3Presets.Addressing(Policy(provider)).ShouldBe(S3Addressing.Path);
    }

    [Theory]
    [InlineData(null, null, 8)]
    [InlineData(null, 1_000L, 8)]
    [InlineData(null, 70_000L, 8)]
    [InlineData(null, 100_000L, 12)]
    [InlineData(null, 1_000_000L, 112)]
    [InlineData(16, 1_000_000L, 16)]
    [InlineData(1, null, 5)]
    public void Parts_grow_only_when_the_expected_size_needs_it(int? wanted, long? expected, int part)
    {
        int chosen = S3PartSize.Choose(wanted * 1024L * 1024, expected * 1024 * 1024);
        chosen.ShouldBe(part << 20);
        if (wanted is null && expected is { } size) ((size << 20) / chosen).ShouldBeLessThanOrEqualTo(9_000);
    }

    [Fact]
    public void A_writer_always_gets_one_buffer_and_more_only_out_of_the_budget()
    {
        var buffers = new PartBuffers(20);
        PartBuffers.Share one = buffers.Open(10), two = buffers.Open(10);
        byte[] a = one.TryRent().ShouldNotBeNull(), b = one.TryRent().ShouldNotBeNull(), c = one.TryRent().ShouldNotBeNull();
        one.TryRent().ShouldBeNull();
        byte[] d = two.TryRent().ShouldNotBeNull();
        two.TryRent().ShouldBeNull();
        one.Return(a);
        byte[] e = two.TryRent().ShouldNotBeNull();
        e.ShouldBeSameAs(a);
        two.TryRent().ShouldBeNull();
        foreach (byte[] buffer in new[] { d, e }) two.Return(buffer);
        foreach (byte[] buffer in new[] { b, c }) one.Return(buffer);
        one.TryRent().ShouldNotBeNull();
        one.TryRent().ShouldNotBeNull();
        one.TryRent().ShouldNotBeNull();
        one.TryRent().ShouldBeNull();
    }

    [Theory(Timeout = Limit)]
    [InlineData(S3Addressing.Path, "localhost")]
    [InlineData(S3Addressing.Virtual, "localhost")]
    [InlineData(S3Addressing.CustomDomain, "test.localhost")]
    public async Task Every_addressing_works_against_a_gateway_that_checks_signatures(S3Addressing addressing, string host)
    {
        S3Server ceph = await servers.CephAsync();
        S3StorePolicy policy = ceph.Policy(new Uri($"http://{host}:{ceph.Url.Port}")) with { Addressing = addressing };
        await using var store = new S3ObjectStore(policy, _context.Run, Tuning with { ConnectTo = "127.0.0.1" });
        var bytes = new byte[S3Server.SmallPart + 10];
        await using (ObjectWriter writer = await store.CreateAsync("dir/key+1", null, default))
        {
            await writer.WriteAsync(bytes, default);
            (await writer.CommitAsync(default)).Parts.Count.ShouldBe(2);
        }
        (await store.HeadAsync("dir/key+1", default))!.Size.ShouldBe(bytes.Length);
        var keys = new List<string>();
        await foreach (ObjectInfo found in store.ListAsync("dir/", default)) keys.Add(found.Key);
        keys.ShouldBe(["dir/key+1"]);
        await using (var plain = new S3ObjectStore(policy with { Endpoint = ceph.Url, Addressing = S3Addressing.Path }, _context.Run))
            (await plain.HeadAsync("dir/key+1", default)).ShouldNotBeNull("all addressings reach the same bucket");
        (await store.AbortUploadsAsync("dir/key+1", default)).ShouldBe(0);
        await store.DeleteAsync("dir/key+1", default);
        (await store.HeadAsync("dir/key+1", default)).ShouldBeNull();
    }

    private async Task<StoreException> FailureAsync(Func<S3StorePolicy, S3StorePolicy> change, Uri? endpoint = null)
    {
        S3Server ceph = await servers.CephAsync();
        await using var store = new S3ObjectStore(change(ceph.Policy(endpoint)), _context.Run, Tuning);
        StoreException failure = await Should.ThrowAsync<StoreException>(async () =>
        {
            await using ObjectWriter writer = await store.CreateAsync("probe", null, default);
            await writer.WriteAsync(new byte[10], default);
            await writer.CommitAsync(default);
        });
        failure.Problem.ShouldStartWith("store 's3': uploading t/");
        failure.Problem.ShouldNotContain("testsecret");
        return failure;
    }

    [Fact(Timeout = Limit)]
    public async Task A_wrong_secret_says_which_setting()
    {
        Environment.SetEnvironmentVariable("BACKUP_TEST_WRONG", "wrong");
        StoreException failure = await FailureAsync(p => p with { SecretAccessKey = new Secret("env:BACKUP_TEST_WRONG", "$.stores.s3.secretAccessKey") });
        failure.Problem.ShouldContain("the secret key does not fit");
        failure.Hint.ShouldContain("env:BACKUP_TEST_WRONG ($.stores.s3.secretAccessKey)");
        failure.Transient.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task An_unknown_access_key_says_which_setting()
    {
        Environment.SetEnvironmentVariable("BACKUP_TEST_WRONG", "wrong");
        StoreException failure = await FailureAsync(p => p with { AccessKeyId = new Secret("env:BACKUP_TEST_WRONG", "$.stores.s3.accessKeyId") });
        failure.Problem.ShouldContain("does not know this access key");
        failure.Hint.ShouldContain("$.stores.s3.accessKeyId");
    }

    [Fact(Timeout = Limit)]
    public async Task A_missing_bucket_is_not_found_and_not_an_empty_store()
    {
        (await FailureAsync(p => p with { Bucket = "nosuchbucket" })).Kind.ShouldBe(FailureKind.NotFound);
        S3Server ceph = await servers.CephAsync();
        await using var store = new S3ObjectStore(ceph.Policy() with { Bucket = "nosuchbucket" }, _context.Run, Tuning);
        StoreException failure = await Should.ThrowAsync<StoreException>(async () => { await foreach (ObjectInfo _ in store.ListAsync("", default)) { } });
        failure.Problem.ShouldContain("there is no bucket 'nosuchbucket'");
        (await Should.ThrowAsync<StoreException>(() => store.OpenReadAsync("a", 0, null, default))).Kind.ShouldBe(FailureKind.NotFound);
    }

    [Fact(Timeout = Limit)]
    public async Task An_unknown_storage_class_says_so()
    {
        StoreException failure = await FailureAsync(p => p with { StorageClass = "DEEPFREEZE" });
        failure.Problem.ShouldContain("'DEEPFREEZE'");
        failure.Hint.ShouldContain("\"storageClass\"");
    }

    [Fact(Timeout = Limit)]
    public async Task Nobody_listening_and_no_such_name_are_the_networks_failures()
    {
        StoreException refused = await FailureAsync(p => p, new Uri("http://127.0.0.1:1"));
        refused.Problem.ShouldContain("127.0.0.1:1 refuses the connection");
        refused.Transient.ShouldBeTrue();
        StoreException name = await FailureAsync(p => p, new Uri("http://no-such-host.invalid"));
        name.Problem.ShouldContain("no-such-host.invalid cannot be resolved");
    }

    [Fact(Timeout = Limit)]
    public async Task Https_to_a_plain_port_is_a_tls_failure()
    {
        S3Server ceph = await servers.CephAsync();
        StoreException failure = await FailureAsync(p => p, new Uri($"https://127.0.0.1:{ceph.Url.Port}"));
        failure.Problem.ShouldContain("TLS with");
        failure.Transient.ShouldBeFalse();
    }

    [Theory(Timeout = Limit)]
    [InlineData(400, "PublicEndpointForbidden", "\"addressing\": \"custom-domain\"", false)]
    [InlineData(403, "SecondLevelDomainForbidden", "\"addressing\": \"virtual\"", false)]
    [InlineData(403, "PathStyleDomainForbidden", "\"addressing\": \"virtual\"", false)]
    [InlineData(403, "RequestTimeTooSkewed", "timedatectl", false)]
    [InlineData(403, "InvalidObjectState", "thaw", false)]
    [InlineData(301, "PermanentRedirect", "\"region\"", false)]
    [InlineData(400, "AuthorizationHeaderMalformed", "\"region\"", false)]
    [InlineData(403, "AccessDenied", "abort multipart uploads", false)]
    [InlineData(501, "NotImplemented", "\"provider\"", false)]
    [InlineData(503, "SlowDown", "try again later", true)]
    public async Task Each_refusal_has_its_cure(int status, string code, string cure, bool transient)
    {
        S3Server ceph = await servers.CephAsync();
        await using var proxy = new FaultProxy(ceph.Url.Port) { Fault = _ => ProxyFault.S3Error(status, code) };
        StoreException failure = await FailureAsync(p => p, proxy.Url);
        failure.Hint.ShouldContain(cure);
        failure.Transient.ShouldBe(transient);
        proxy.Hits.ShouldBe(1, "one attempt was allowed, and the SDK makes none of its own");
    }
}
