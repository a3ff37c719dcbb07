using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>Which environment is meant, what the server hides, keeps in its books, cuts and closes, and what a user is told of it.</summary>
[Collection("engine")]
public sealed class ServerConnectionTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private const string UserKey = "ptr_user";

    private readonly RunningScope _scope = new(engine);
    private readonly List<IAsyncDisposable> _started = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (IAsyncDisposable part in Enumerable.Reverse(_started)) await part.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private async Task<StrictServer> StartAsync(ServerSettings settings)
    {
        StrictServer server = await StrictServer.StartAsync(settings);
        _started.Add(server);
        return server;
    }

    private Task<StrictServer> StartAsync(params ServerEnvironment[] environments) => StartAsync(new ServerSettings { Https = false, Environments = environments });

    private ServerEnvironment Local(int id = 1, string name = "prod") => new(id, name, EnvironmentType.Docker, new Uri(engine.Url));

    private async Task<ServerEnvironment> EdgeAsync()
    {
        StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { Edge = true });
        _started.Add(agent);
        return new ServerEnvironment(1, "prod", EnvironmentType.EdgeAgent, agent.Url) { CheckIn = TimeSpan.FromSeconds(0.5) };
    }

    private Secret Key(string value = ServerSettings.AdministratorKey)
    {
        string path = Path.Combine(_scope.Folder, "key-" + Guid.NewGuid().ToString("n"));
        File.WriteAllText(path, value);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return new Secret("file:" + path, "$.environments.prod.connect.apiKey");
    }

    private DockerEnvironment Open(StrictServer server, string environment = "prod", string? key = null, string? ca = null, TimeProvider? time = null)
    {
        RunContext context = time is null ? _scope.Context : _scope.Context with { Time = time };
        var policy = new PortainerConnectPolicy(server.Url, Key(key ?? ServerSettings.AdministratorKey), environment, ca, TransferLimits.None);
        return new DockerEnvironment("prod", PortainerServerConnection.Create("prod", policy, context), context);
    }

    private async Task<EnvironmentException> RefusedAsync(StrictServer server, string environment = "prod", string? key = null, string? ca = null)
    {
        await using DockerEnvironment opened = Open(server, environment, key, ca);
        return await Should.ThrowAsync<EnvironmentException>(opened.InspectAsync(default));
    }

    /// <summary>The server's environment as the only one of the policy, for the verbs.</summary>
    private void Use(StrictServer server) => _scope.Environments[RunningScope.Local]!["connect"] = new JsonObject
    {
        ["type"] = "portainer", ["url"] = server.Url.ToString(), ["apiKey"] = Key().Reference, ["environment"] = "prod",
    };

    [Fact(Timeout = Limit)]
    public async Task An_environment_is_found_by_name_and_by_number_below_any_path()
    {
        StrictServer server = await StartAsync(new ServerSettings { Https = false, BasePath = "/portainer", Environments = [Local(3, "other"), Local(7)] });
        foreach (string name in new[] { "prod", "PROD", "7" })
        {
            await using DockerEnvironment environment = Open(server, name);
            Inventory inventory = await environment.InspectAsync(default);
            inventory.Through.ShouldBe("through Portainer, to which the API key travels unencrypted");
            inventory.Remarks.ShouldBeEmpty();
        }
        server.Requests.Select(r => r.Target).ShouldContain("/portainer/api/endpoints/7/docker/version");
        server.Requests.ShouldNotContain(r => r.Target.Contains("/endpoints/3/", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task An_environment_that_is_not_there_is_not_found_with_the_nearest_name()
    {
        StrictServer server = await StartAsync(Local(1, "production"), Local(2, "staging"));
        EnvironmentException e = await RefusedAsync(server, "prodution");
        e.Kind.ShouldBe(FailureKind.NotFound);
        e.Problem.ShouldContain("has no environment \"prodution\"");
        e.Hint.ShouldBe("did you mean \"production\"?");
    }

    [Theory(Timeout = Limit)]
    [InlineData(EnvironmentType.Kubernetes, false, true, "is a Kubernetes environment")]
    [InlineData(EnvironmentType.Azure, false, true, "Azure Container Instances")]
    [InlineData(EnvironmentType.EdgeAgent, true, true, "async mode, which has no tunnel")]
    [InlineData(EnvironmentType.EdgeAgent, false, false, "nobody has accepted yet")]
    public async Task An_environment_that_cannot_be_backed_up_is_refused_with_the_reason(EnvironmentType type, bool async, bool trusted, string words)
    {
        StrictServer server = await StartAsync(new ServerEnvironment(1, "prod", type, new Uri("http://127.0.0.1:1")) { Async = async, Trusted = trusted });
        (await RefusedAsync(server)).Problem.ShouldContain(words);
        server.Requests.ShouldNotContain(r => r.Target.Contains("/docker/", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task A_wrong_key_what_is_down_and_what_is_no_Portainer_are_told_apart()
    {
        StrictServer server = await StartAsync(Local(), new ServerEnvironment(2, "gone", EnvironmentType.Agent, new Uri("https://127.0.0.1:1")) { Down = true });
        EnvironmentException e = await RefusedAsync(server, key: "ptr_wrong");
        e.Problem.ShouldContain("does not accept the API key file:");
        e.Problem.ShouldNotContain("ptr_wrong");
        e.Unreachable.ShouldBeTrue();
        e = await RefusedAsync(server, "gone");
        e.Problem.ShouldContain("cannot reach gone; Portainer holds it to be down");

        StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { Edge = true });
        _started.Add(agent);
        var policy = new PortainerConnectPolicy(agent.Url, Key(), "prod", null, TransferLimits.None);
        await using var environment = new DockerEnvironment("prod", PortainerServerConnection.Create("prod", policy, _scope.Context), _scope.Context);
        e = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
        e.Unreachable.ShouldBeTrue(e.Problem);
    }

    [Fact(Timeout = Limit)]
    public async Task Portainers_certificate_is_checked_and_may_be_named_in_the_policy()
    {
        StrictServer server = await StartAsync(new ServerSettings { Environments = [Local()] });
        EnvironmentException e = await RefusedAsync(server);
        e.Problem.ShouldContain("TLS");
        server.Requests.ShouldBeEmpty("the key was not shown to a stranger");
        string ca = Path.Combine(_scope.Folder, "portainer.pem");
        await File.WriteAllTextAsync(ca, server.CertificatePem);
        await using DockerEnvironment environment = Open(server, ca: ca);
        (await environment.InspectAsync(default)).Through.ShouldBe("through Portainer");
        StrictServer other = await StartAsync(new ServerSettings { Environments = [Local()] });
        (await RefusedAsync(other, ca: ca)).Problem.ShouldContain("TLS");
    }

    [Fact(Timeout = Limit)]
    public async Task Hidden_containers_and_keys_that_see_less_are_warned_of_in_a_plan()
    {
        await _scope.Engine.ContainerAsync(new TestContainer { Start = false, Labels = new Dictionary<string, string> { ["hide"] = _scope.Engine.Prefix } });
        StrictServer server = await StartAsync(new ServerSettings
        {
            Https = false, Environments = [Local()], HiddenLabels = [$"hide={_scope.Engine.Prefix}"],
            Users = [new ServerUser(ServerSettings.AdministratorKey, 1, true), new ServerUser(UserKey, 7, false, [1])],
        });
        Use(server);
        await using (Backends backends = _scope.Open())
        {
            PlanReport report = await new BackupRun(_scope.Context, backends, "test").PlanAsync(new RunRequest([], []), default);
            report.Environments.ShouldHaveSingleItem().Plan.Warnings.ShouldContain(w => w.Problem.Contains("Portainer hides 1 of the engine's containers", StringComparison.Ordinal));
        }
        await using DockerEnvironment environment = Open(server, key: UserKey);
        (await environment.InspectAsync(default)).Remarks.ShouldContain(r => r.Problem.Contains("is not an administrator's", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_others_may_use_is_never_re_created()
    {
        string name = await _scope.VolumeAsync("v", "echo 1 > f");
        StrictServer server = await StartAsync(Local());
        await using DockerEnvironment environment = Open(server);
        SourceRef volume = SourceRef.Volume(name);
        string engineId = (await environment.InspectAsync(default)).Engine.Id;
        server.Records.Add("volume", $"{name}_{engineId}", user: 7);
        await Should.ThrowAsync<EnvironmentException>(environment.PlanEmptyAsync(volume, "run", default));

        // With a shell on the host there is a way that leaves the volume, and Portainer's record, where they are.
        await _scope.Engine.ShellImageAsync();
        (await environment.PlanEmptyAsync(volume, "run", default)).ShouldContain("borrows");
        await environment.EmptyAsync(volume, "run", default);
        server.Records.All.ShouldHaveSingleItem().User.ShouldBe(7);
        server.Requests.ShouldNotContain(r => r.Target.EndsWith("/volumes/create", StringComparison.Ordinal));
    }

    [Fact(Timeout = Limit)]
    public async Task Backups_and_restores_leave_no_record_of_a_helper_and_one_of_a_new_volume()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        StrictServer server = await StartAsync(Local());
        Use(server);
        await _scope.RunWellAsync();
        server.Records.All.ShouldBeEmpty();
        await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: volume + "_copy");
        server.Records.All.ShouldHaveSingleItem().Resource.ShouldStartWith(volume + "_copy_");
        await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: volume + "_copy", overwrite: true);
        server.Records.All.ShouldHaveSingleItem("an existing volume gets no second one");
    }

    [Fact(Timeout = Limit)]
    public async Task Portainers_own_container_is_never_held()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string own = await _scope.UserAsync(volume);
        StrictServer server = await StartAsync(Local() with { PortainerContainer = own[..12] });
        Use(server);
        (await _scope.RunWellAsync()).Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("none");
        (await _scope.HappenedAsync(own)).ShouldBe(["create", "start"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_whose_name_Portainer_takes_for_its_own_path_is_said_to_be_out_of_reach()
    {
        StrictServer server = await StartAsync(Local());
        await using DockerEnvironment environment = Open(server);
        (await Should.ThrowAsync<EnvironmentException>(environment.FindContainerAsync("edge", default))).Problem.ShouldContain("not addressable this way");
    }

    [Fact(Timeout = Limit)]
    public async Task A_tunnel_stays_open_while_a_long_stream_runs_and_is_asked_for_no_more_than_once_a_minute()
    {
        string volume = await _scope.VolumeAsync("v", "head -c 40M /dev/zero > big");
        StrictServer server = await StartAsync(await EdgeAsync() with { TunnelIdle = TimeSpan.FromSeconds(10) });
        // Opened by somebody whose patience is not as short as the fast clock makes it.
        await using (DockerEnvironment opens = Open(server)) await opens.ListContainersAsync(default);
        // A minute takes six seconds: the keep-alive of 60 s comes after 6 s, well before the tunnel's 10 s.
        await using DockerEnvironment environment = Open(server, time: new FastClock(10));
        await using (ISourceHandle handle = await environment.PrepareSourceAsync(SourceRef.Volume(volume), "run", default))
        {
            await using Stream tar = await handle.OpenAsync(default);
            int before = Pings(server);
            long started = TimeProvider.System.GetTimestamp();
            byte[] piece = new byte[2 << 20];
            long bytes = 0;
            for (int read; (read = await tar.ReadAtLeastAsync(piece, piece.Length, throwOnEndOfStream: false)) > 0; bytes += read) await Task.Delay(650);
            bytes.ShouldBeGreaterThan(40 << 20);
            (Pings(server) - before).ShouldBeInRange(1, (int)(TimeProvider.System.GetElapsedTime(started) / TimeSpan.FromSeconds(6)) + 1, "13 s are a little more than two minutes");
        }
        EdgeTunnel tunnel = server.Tunnels[1];
        (tunnel.Opened, tunnel.Cut).ShouldBe((1, 0));
    }

    [Fact(Timeout = Limit)]
    public async Task An_Edge_agent_that_does_not_come_is_waited_for_and_then_named()
    {
        StrictServer server = await StartAsync(await EdgeAsync() with { Down = true });
        server.Tunnels[1].AgentAsleep = true;
        EnvironmentException e = await RefusedAsync(server);
        e.Problem.ShouldContain("its agent has not been heard of lately");
        e.Problem.ShouldContain("Unable to get the active tunnel");
        e.Hint.ShouldContain("8000");
        server.Requests.Count(r => r.Target.EndsWith("/_ping", StringComparison.Ordinal)).ShouldBe(2, "tried twice");
    }

    private static int Pings(StrictServer server) => server.Requests.Count(r => r.Target.EndsWith("/_ping", StringComparison.Ordinal));

    [Theory(Timeout = 120_000)]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Ten_environments_are_backed_up_in_one_run_with_as_many_streams_as_the_policy_allows(int streams)
    {
        string volume = await _scope.VolumeAsync("v", "head -c 3M /dev/urandom > f");
        StrictServer server = await StartAsync([.. Enumerable.Range(1, 10).Select(i => Local(i, $"host{i}"))]);
        var template = (JsonObject)_scope.Environments[RunningScope.Local]!;
        _scope.Environments.Remove(RunningScope.Local);
        string key = Key().Reference;
        for (int i = 1; i <= 10; i++)
        {
            JsonNode one = template.DeepClone();
            one["connect"] = new JsonObject { ["type"] = "portainer", ["url"] = server.Url.ToString(), ["apiKey"] = key, ["environment"] = $"host{i}" };
            _scope.Environments[$"host{i}"] = one;
        }
        if (streams > 1) _scope.Root["streams"] = streams;
        int asked = 0;
        var together = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        server.ArchiveAsked = async () =>
        {
            // None of the first is answered before so many have come, and then long enough for one more to come if it could.
            if (Interlocked.Increment(ref asked) == streams) together.SetResult();
            await together.Task;
            await Task.Delay(200);
        };
        RunReport report = await _scope.RunWellAsync();
        report.Snapshots.Select(s => s.Snapshot.Environment).Order().ShouldBe(Enumerable.Range(1, 10).Select(i => $"host{i}").Order());
        report.Snapshots.ShouldAllBe(s => s.Snapshot.Volume == volume);
        server.MostArchives.ShouldBe(streams);
        (await _scope.AllVerifyAsync()).Count.ShouldBe(10);
        server.Records.All.ShouldBeEmpty();
    }

    [Fact(Timeout = 120_000)]
    public async Task Containers_that_are_held_in_several_environments_at_a_time_all_come_back()
    {
        string[] hosts = ["one", "two", "three"];
        StrictServer server = await StartAsync([.. hosts.Select((h, i) => Local(i + 1, h))]);
        JsonNode template = _scope.Environments[RunningScope.Local]!;
        _scope.Environments.Remove(RunningScope.Local);
        string key = Key().Reference;
        var users = new List<string>();
        foreach (string host in hosts)
        {
            string volume = await _scope.VolumeAsync(host, "head -c 9M /dev/urandom > f");
            users.Add(await _scope.UserAsync(volume));
            JsonNode one = template.DeepClone();
            one["connect"] = new JsonObject { ["type"] = "portainer", ["url"] = server.Url.ToString(), ["apiKey"] = key, ["environment"] = host };
            one["volumes"] = new JsonObject { ["include"] = new JsonArray(volume) };
            _scope.Environments[host] = one;
        }
        _scope.Root["streams"] = 3;
        int asked = 0;
        var together = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        server.ArchiveAsked = async () =>
        {
            if (Interlocked.Increment(ref asked) == 3) together.SetResult();
            await together.Task;
        };
        RunReport report = await _scope.RunWellAsync();
        report.Snapshots.Select(s => s.Snapshot.Consistency).ShouldBe(["pause", "pause", "pause"]);
        report.Snapshots.ShouldAllBe(s => s.DowntimeSeconds > 0);
        await _scope.AllVerifyAsync();
        await _scope.NothingIsLeftAsync([.. users]);
    }

    /// <summary>A clock on which time passes so many times faster.</summary>
    private sealed class FastClock(int speed) : TimeProvider
    {
        public override long GetTimestamp() => System.GetTimestamp() * speed;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, dueTime == Timeout.InfiniteTimeSpan ? dueTime : dueTime / speed, period);
    }
}
