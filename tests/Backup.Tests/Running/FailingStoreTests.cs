using Backup.Running;
using Backup.Snapshots;
using Backup.Stores;
using Backup.Stores.S3;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>A real S3 store behind a line that breaks, on a real engine.</summary>
[Collection("engine")]
public sealed class FailingStoreTests(EngineFixture engine, S3Fixture s3) : IClassFixture<S3Fixture>, IAsyncLifetime
{
    private const int Limit = 90_000;
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(3);
    private readonly RunningScope _scope = new(engine);
    private FaultProxy _proxy = null!;
    private S3Server _server = null!;
    private string _user = "", _volume = "";

    public async Task InitializeAsync()
    {
        _server = await s3.CephAsync();
        _proxy = new FaultProxy(_server.Url.Port);
        _scope.UseS3(_server, _proxy.Url);
        // Production's behaviour at a test's pace.
        var quick = new RetrySchedule(5, TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(400), TimeSpan.FromSeconds(20));
        _scope.Retries = quick;
        _scope.Tuning = new S3Tuning(new S3Timeouts(Short, Short, Short, Short, 4 << 20, Short), quick, quick);
        _volume = await _scope.VolumeAsync("v", "head -c 14000000 /dev/urandom > f");
        _user = await _scope.UserAsync(_volume);
    }

    public async Task DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await _scope.DisposeAsync();
    }

    public static TheoryData<string> ShortFaults => ["503", "slow down", "cut", "lost answer", "stall", "torn read"];

    [Theory(Timeout = Limit)]
    [MemberData(nameof(ShortFaults))]
    public async Task A_run_gets_over_a_short_fault_by_itself(string kind)
    {
        _ = kind switch
        {
            "503" => _proxy.FailFirst(3, _ => true, ProxyFault.S3Error(503, "ServiceUnavailable")),
            "slow down" => _proxy.FailFirst(3, IsPart, ProxyFault.S3Error(503, "SlowDown")),
            "cut" => _proxy.FailFirst(2, IsPart, new ProxyFault.ResetRequest(1_000_000)),
            "lost answer" => _proxy.FailFirst(2, r => r.Method is "PUT" or "POST", new ProxyFault.LoseAnswer()),
            "stall" => _proxy.FailFirst(1, IsPart, new ProxyFault.StallRequest(1_000_000)),
            "torn read" => _proxy.FailFirst(1, r => r.Method == "GET" && r.Target.Contains(".tar.zst", StringComparison.Ordinal), new ProxyFault.CutAnswer(100_000)),
            _ => throw new ArgumentOutOfRangeException(nameof(kind)),
        };

        await _scope.RunWellAsync();

        (await _scope.AllVerifyAsync()).ShouldHaveSingleItem().Volume.ShouldBe(_volume);
        _proxy.Hits.ShouldBeGreaterThan(0, "the planted fault was never hit");
        (await _scope.KeysAsync()).Count.ShouldBe(3);
        await _scope.NothingIsLeftAsync(_user);
    }

    /// <summary>The n-th request of a run and every later one fails: a sweep over all calls of an undisturbed run.</summary>
    [Fact(Timeout = 180_000)]
    public async Task A_store_that_dies_at_any_call_costs_the_snapshot_and_nothing_else()
    {
        var once = new RetrySchedule(2, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(1));
        (_scope.Retries, _scope.Tuning) = (once, _scope.Tuning! with { Calls = once, Parts = once });
        await _scope.RunWellAsync();
        int calls = _proxy.Requests.Count;
        calls.ShouldBeInRange(8, 40);
        string first = (await ListDirectlyAsync()).ShouldHaveSingleItem().Id;
        int failed = 0;

        for (int call = 1; call <= calls; call++)
        {
            int left = call;
            _proxy.Fault = _ => Interlocked.Decrement(ref left) < 0 ? ProxyFault.S3Error(500, "InternalError") : null;
            RunReport report = await _scope.RunAsync();
            if (report.Failures.Count > 0) failed++;
            report.Failures.ShouldAllBe(f => f.Side == "store" && !f.NeedsPerson, $"call {call} of {calls}");
            await _scope.NothingIsLeftAsync(_user);
            _proxy.Fault = _ => null;
            foreach (VerifiedSnapshot snapshot in (await _scope.VerifyAsync(readData: false)).Snapshots) snapshot.Problems.ShouldBeEmpty($"call {call} of {calls}");
        }

        failed.ShouldBeGreaterThan(calls / 2);
        PruneReport prune = await _scope.PruneAsync(TimeSpan.Zero);
        prune.Failures.ShouldBeEmpty();
        IReadOnlyList<Snapshot> listed = await _scope.AllVerifyAsync();
        listed.Select(s => s.Id).ShouldContain(first);
        (await _scope.KeysAsync()).Count.ShouldBe(3 * listed.Count, "prune collects what the dead runs left");
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_whose_port_closes_during_the_read_lets_the_container_go_on()
    {
        _scope.On = e =>
        {
            if (e is RunEvent.ContainerQuiesced) _proxy.DisposeAsync().AsTask().GetAwaiter().GetResult();
        };

        RunReport report = await _scope.RunAsync();

        report.Failures.ShouldAllBe(f => f.Side == "store");
        report.Failures.ShouldContain(f => f.Volume == _volume);
        report.Snapshots.ShouldBeEmpty();
        await _scope.NothingIsLeftAsync(_user);
        (await ListDirectlyAsync()).ShouldBeEmpty();
        _proxy = new FaultProxy(_server.Url.Port);
    }

    private static bool IsPart(ProxiedRequest request) => request.Method == "PUT" && request.Target.Contains("partNumber", StringComparison.OrdinalIgnoreCase);

    private async Task<IReadOnlyList<Snapshot>> ListDirectlyAsync()
    {
        _scope.Stores["s3"]!["endpoint"] = _server.Url.ToString().TrimEnd('/');
        IReadOnlyList<Snapshot> listed = await _scope.ListAsync();
        _scope.Stores["s3"]!["endpoint"] = _proxy.Url.ToString().TrimEnd('/');
        return listed;
    }
}
