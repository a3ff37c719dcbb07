using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>Who the agent belongs to, what it does to names, streams and time, and what a user is told of it.</summary>
[Collection("engine")]
public sealed class AgentConnectionTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    private string KeyFile => Path.Combine(_scope.State, "portainer-agent.key");

    private Task<StrictAgent> StartAsync(string? secret = null, string version = "2.23.0", TimeSpan? upload = null) =>
        StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { Secret = secret, Version = version, UploadLimit = upload ?? AgentSettings.RealUploadLimit });

    private DockerEnvironment Open(StrictAgent agent, Secret? secret = null, Secret? key = null, bool pair = false, TransferLimits? limits = null, TimeProvider? time = null)
    {
        RunContext context = time is null ? _scope.Context : _scope.Context with { Time = time };
        var policy = new PortainerAgentConnectPolicy(agent.Url, secret, key, pair, limits ?? TransferLimits.None);
        return new DockerEnvironment("prod", PortainerAgentConnection.Create("prod", policy, _scope.State, context), context);
    }

    private Secret FileSecret(string text)
    {
        string path = Path.Combine(_scope.Folder, "secret-" + Guid.NewGuid().ToString("n"));
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, OwnerOnly);
        return new Secret("file:" + path, "$.environments.prod.connect");
    }

    /// <summary>The agent as the only environment of the policy, for the verbs.</summary>
    private void Use(StrictAgent agent, Secret? secret = null)
    {
        var connect = new JsonObject { ["type"] = "portainer-agent", ["url"] = agent.Url.ToString() };
        if (secret is null) connect["pair"] = true;
        else connect["secret"] = secret.Reference;
        _scope.Environments[RunningScope.Local]!["connect"] = connect;
    }

    [Fact(Timeout = Limit)]
    public async Task Without_secret_key_or_consent_an_agent_gets_a_ping_and_nothing_else()
    {
        await using StrictAgent agent = await StartAsync();
        await using DockerEnvironment environment = Open(agent);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
        e.Problem.ShouldContain("belongs for good to the first key that reaches it");
        e.Hint.ShouldContain("AGENT_SECRET");
        e.Hint.ShouldContain("portainer.key");
        e.Hint.ShouldContain("\"pair\": true");
        agent.Requests.ShouldHaveSingleItem().ToString().ShouldBe("GET /ping");
        agent.Requests[0].Headers.Keys.ShouldNotContain(h => h.StartsWith("X-PortainerAgent", StringComparison.OrdinalIgnoreCase));
        agent.Paired.ShouldBeFalse();
        File.Exists(KeyFile).ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task The_check_explains_the_pairing_before_anything_could_pair()
    {
        await using StrictAgent agent = await StartAsync();
        Use(agent);
        _scope.Environments[RunningScope.Local]!["connect"]!.AsObject().Remove("pair");
        CheckResult result = await CheckAsync();
        result.Ok.ShouldBeFalse();
        result.Text.ShouldContain("would then refuse Portainer");
        agent.Paired.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task The_check_says_that_the_certificate_was_not_checked()
    {
        await using StrictAgent agent = await StartAsync("s");
        Use(agent, FileSecret("s"));
        CheckResult result = await CheckAsync();
        result.Ok.ShouldBeTrue(result.Text);
        result.Text.ShouldContain("through Portainer agent 2.23.0, whose certificate is self-signed as every agent's and was not checked");
    }

    private async Task<CheckResult> CheckAsync()
    {
        await using Backends backends = _scope.Open();
        return (await new CheckRun(_scope.Context, backends).RunAsync([RunningScope.Local], default)).Results[0];
    }

    [Fact(Timeout = Limit)]
    public async Task A_key_of_our_own_is_made_once_for_us_alone_and_kept()
    {
        await using StrictAgent agent = await StartAsync();
        for (int run = 0; run < 2; run++)
        {
            await using DockerEnvironment environment = Open(agent, pair: true);
            (await environment.InspectAsync(default)).Engine.Id.ShouldNotBeEmpty();
        }
        File.GetUnixFileMode(KeyFile).ShouldBe(OwnerOnly);
        _scope.Warnings.Count(w => w.Contains("made a key", StringComparison.Ordinal)).ShouldBe(1, "it is said, and said once");
        Directory.EnumerateFiles(_scope.State, "portainer*").ShouldHaveSingleItem();
    }

    [Fact(Timeout = Limit)]
    public async Task A_key_that_is_damaged_is_not_replaced()
    {
        await using StrictAgent agent = await StartAsync();
        Directory.CreateDirectory(_scope.State);
        await File.WriteAllTextAsync(KeyFile, "-----BEGIN EC PRIVATE KEY-----\nAAAA\n");
        await using DockerEnvironment environment = Open(agent, pair: true);
        BackupException e = await Should.ThrowAsync<BackupException>(environment.InspectAsync(default));
        e.Problem.ShouldContain(KeyFile);
        e.Hint.ShouldContain("restart the agents");
        (await File.ReadAllTextAsync(KeyFile)).ShouldContain("AAAA");
        agent.Paired.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task An_agent_that_belongs_to_another_is_told_apart_from_one_with_a_secret_that_we_got_wrong()
    {
        await using StrictAgent taken = await StartAsync(), secret = await StartAsync("right");
        using (var portainer = new AgentClient(taken.Url)) await portainer.GetAsync("/_ping");

        await using DockerEnvironment late = Open(taken, pair: true);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(late.InspectAsync(default));
        e.Problem.ShouldContain("belongs to another key, probably Portainer's");
        e.Unreachable.ShouldBeTrue();

        await using DockerEnvironment wrong = Open(secret, FileSecret("wrong"));
        e = await Should.ThrowAsync<EnvironmentException>(wrong.InspectAsync(default));
        e.Problem.ShouldContain("does not accept file:");
        e.Hint.ShouldContain("AGENT_SECRET");
        await using DockerEnvironment right = Open(secret, FileSecret("right"));
        (await right.InspectAsync(default)).Engine.Id.ShouldNotBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task With_a_secret_no_key_is_kept()
    {
        await using StrictAgent agent = await StartAsync("s");
        await using DockerEnvironment environment = Open(agent, FileSecret("s"));
        await environment.InspectAsync(default);
        File.Exists(KeyFile).ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task Portainers_own_key_opens_what_belongs_to_Portainer()
    {
        await using StrictAgent agent = await StartAsync();
        using var portainer = new AgentClient(agent.Url);
        await portainer.GetAsync("/_ping");
        await using DockerEnvironment environment = Open(agent, key: FileSecret(portainer.Pem));
        (await environment.InspectAsync(default)).Engine.Id.ShouldNotBeEmpty();

        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        await using DockerEnvironment other = Open(agent, key: FileSecret(stranger.ExportECPrivateKeyPem()));
        (await Should.ThrowAsync<EnvironmentException>(other.InspectAsync(default))).Hint.ShouldContain("take portainer.key from the Portainer that uses the agent");
        await using DockerEnvironment none = Open(agent, key: FileSecret("no key"));
        (await Should.ThrowAsync<BackupException>(none.InspectAsync(default))).Kind.ShouldBe(FailureKind.Usage);
    }

    [Theory]
    [InlineData("1.4.0", null, null)]
    [InlineData("1.5.1", 5, 120)]
    [InlineData("2.1.0", 5, 120)]
    [InlineData("2.4.0", 5, 600)]
    [InlineData("2.5.1", 5, 600)]
    [InlineData("2.9.3", 5, 1800)]
    [InlineData("2.11.0", 120, 1800)]
    [InlineData("2.23.0", 120, 1800)]
    [InlineData("3.0", 120, 1800)]
    [InlineData("develop", 120, 1800)]
    [InlineData(null, 120, 1800)]
    public void The_limits_of_an_agent_follow_from_its_version(string? version, int? upload, int? download)
    {
        TransferLimits limits = TransferLimits.OfAgent(version);
        limits.Upload.ShouldBe(upload is { } u ? TimeSpan.FromSeconds(u) : null);
        limits.Download.ShouldBe(download is { } d ? TimeSpan.FromSeconds(d) : null);
    }

    [Fact(Timeout = Limit)]
    public async Task The_limits_are_read_from_the_agent_and_the_policy_may_say_less()
    {
        await using StrictAgent old = await StartAsync("s", "2.6.1");
        await using DockerEnvironment plain = Open(old, FileSecret("s"));
        (await plain.Api.Http.RouteAsync(default)).Limits.ShouldBe(new TransferLimits(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(30)));
        await using DockerEnvironment told = Open(old, FileSecret("s"), limits: new TransferLimits(null, TimeSpan.FromMinutes(1)));
        (await told.Api.Http.RouteAsync(default)).Limits.ShouldBe(new TransferLimits(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(1)));
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_whose_name_begins_like_a_version_is_said_to_be_out_of_reach()
    {
        string name = $"v1.0-{_scope.Engine.Prefix}";
        await _scope.Engine.DockerAsync("volume", "create", name);
        try
        {
            await using StrictAgent agent = await StartAsync();
            await using DockerEnvironment environment = Open(agent, pair: true);
            (await environment.InspectAsync(default)).Volumes.ShouldContain(v => v.Name == name);
            EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.PrepareSourceAsync(SourceRef.Volume(name), "run", default));
            e.Problem.ShouldContain("it is not addressable this way");
            e.Problem.ShouldContain(name);
            e.Hint.ShouldContain("reach the engine itself");
            agent.Requests.ShouldNotContain(r => r.Target.Contains(name, StringComparison.Ordinal));
        }
        finally
        {
            await _scope.Engine.DockerAsync("volume", "rm", name);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_stream_that_the_agent_ends_cleanly_in_the_middle_is_a_failed_backup()
    {
        string volume = await _scope.VolumeAsync("v", "for i in 1 2 3 4 5; do head -c 200000 /dev/urandom > f$i; done");
        string user = await _scope.UserAsync(volume);
        await using StrictAgent agent = await StartAsync();
        Use(agent);
        // At a boundary between two entries, where a lenient reader sees the end of a tar: the root, and one file with its padding.
        agent.Faults.EngineDiesAfter = 512 + 512 + 200_192;

        RunReport report = await _scope.RunAsync();

        agent.Faults.Deaths.ShouldBeGreaterThan(0, "the fault was never hit");
        report.Snapshots.ShouldBeEmpty();
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Volume, failure.Side).ShouldBe((volume, "source"));
        (await _scope.ListAsync()).ShouldBeEmpty();
        (await _scope.KeysAsync()).ShouldBeEmpty();
        await _scope.NothingIsLeftAsync(user);

        agent.Faults.EngineDiesAfter = null;
        (await _scope.RunWellAsync()).Snapshots.ShouldHaveSingleItem();
        (await _scope.AllVerifyAsync()).Count.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_that_says_nothing_for_long_is_waited_for_although_its_head_is_held_back()
    {
        await using StrictAgent agent = await StartAsync();
        // The time in which any other call must have an answer, shortened; a held-back head must not count.
        await using DockerEnvironment environment = Open(agent, pair: true, time: new ShortPatience());
        string id = await _scope.Engine.ContainerAsync();
        ExecResult result = await environment.ExecAsync(id, ["/bin/sh", "-c", "sleep 14; echo done"], TimeSpan.FromSeconds(50), default);
        result.ShouldBe(new ExecResult(0, "done\n", ""));
    }

    [Fact(Timeout = Limit)]
    public async Task Portainers_own_containers_are_never_held_when_the_way_leads_through_them()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string image = $"{_scope.Engine.Prefix}.example/portainer/agent:2.23.0";
        await _scope.Engine.DockerAsync("tag", await _scope.Engine.EmptyImageAsync(), image);
        string carrier = await _scope.Engine.ContainerAsync(new TestContainer { Image = image, Mounts = [new TestMount(volume, "/v")] });
        try
        {
            await using StrictAgent agent = await StartAsync();
            Use(agent);
            _scope.Rule(volume, "quiesce", "stop");
            RunReport report = await _scope.RunWellAsync();
            report.Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("none");
            _scope.Warnings.ShouldContain(w => w.Contains("may write to it", StringComparison.Ordinal));
            (await _scope.HappenedAsync(carrier)).ShouldBe(["create", "start"], "neither paused nor stopped");

            BackupException refused = await Should.ThrowAsync<BackupException>(_scope.RestoreAsync($"{RunningScope.Local}/{volume}", overwrite: true));
            refused.Problem.ShouldContain("is part of Portainer");
            await using DockerEnvironment environment = Open(agent, pair: true);
            foreach (ContainerVerb verb in new[] { ContainerVerb.Pause, ContainerVerb.Stop })
                (await Should.ThrowAsync<EnvironmentException>(environment.ActAsync(new ContainerAction(verb, carrier), default))).Problem.ShouldContain("never paused or stopped");
        }
        finally
        {
            await _scope.Engine.DockerAsync("rm", "-f", carrier);
            await _scope.Engine.DockerAsync("rmi", image);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_no_agent_is_told_from_one_that_is_not_there()
    {
        await using StrictAgent agent = await StartAsync();
        await agent.DisposeAsync();
        await using DockerEnvironment gone = Open(agent, pair: true);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(gone.InspectAsync(default));
        e.Unreachable.ShouldBeTrue();
        e.Problem.ShouldContain($"cannot reach environment prod at Portainer agent {agent.Url.Authority}: the connection was refused");
        e.Hint.ShouldNotContain("Docker engine");
    }

    /// <summary>The real clock, but a minute takes ten seconds.</summary>
    private sealed class ShortPatience : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, dueTime == DockerHttp.ShortCall ? TimeSpan.FromSeconds(10) : dueTime, period);
    }
}
