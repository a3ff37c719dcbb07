using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;
using Backup.Quiescing;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>One entry of the policy that stands for all nodes of a Swarm.</summary>
[Collection("engine")]
public sealed class SwarmTests(EngineFixture engine) : IAsyncLifetime
{
    private const string Prod = "prod";

    private readonly RunningScope _scope = new(engine);
    private readonly SwarmScope _swarm = new();
    private EngineFixture? _second;
    private StrictServer? _server;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        await _swarm.DisposeAsync();
        await _scope.DisposeAsync();
        if (_second is not null) await _second.DisposeAsync();
    }

    private string KeyFile(string text)
    {
        string key = Path.Combine(_scope.Folder, "key");
        File.WriteAllText(key, text);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return "file:" + key;
    }

    /// <summary>A manager and a worker; the policy's only entry leads to the agent of the manager.</summary>
    private async Task UseAsync(string? workersSocket = null)
    {
        await _swarm.StartAsync("m1", engine.SocketPath, manager: true, s => s with { Secret = "s" });
        await _swarm.StartAsync("w1", workersSocket ?? engine.SocketPath, like: s => s with { Secret = "s" });
        Entry(new JsonObject { ["type"] = "portainer-agent", ["url"] = _swarm["m1"].Url.ToString(), ["secret"] = KeyFile("s") });
    }

    private void Entry(JsonObject connect, string name = Prod)
    {
        JsonObject entry = _scope.Environments[RunningScope.Local]!.AsObject();
        _scope.Environments.Remove(RunningScope.Local);
        entry["connect"] = connect;
        _scope.Environments[name] = entry;
    }

    /// <summary>Makes a volume on an engine that ends with the test.</summary>
    private async Task FillAsync(EngineFixture on, string volume, TarItem item)
    {
        await using DockerEnvironment environment = _scope.Engine.NewEnvironment(on.UnixConnection(), "second");
        await environment.CreateVolumeAsync(new VolumeFacts(volume, "local", new Dictionary<string, string>(), new Dictionary<string, string>(), "local", false), default);
        await environment.FillAsync(SourceRef.Volume(volume), "test", (stream, cancel) => stream.WriteAsync(RawTar.OfDirectory(item), cancel).AsTask(), default);
    }

    private async Task<string> ContentAsync(string reference)
    {
        string folder = Path.Combine(_scope.Folder, "out", reference.Split('/')[0]);
        await _scope.RestoreWellAsync(reference, output: folder);
        return (await File.ReadAllTextAsync(Path.Combine(folder, "f"))).Trim();
    }

    [Fact(Timeout = 180_000)]
    public async Task Volumes_of_one_name_on_two_nodes_are_two_and_one_is_restored_to_the_other()
    {
        _second = await EngineFixture.OwnAsync(Path.Combine(Path.GetTempPath(), $"bt-n{System.Environment.ProcessId}"));
        string volume = await _scope.VolumeAsync("v", "echo manager > f");
        string user = await _scope.UserAsync(volume);
        await FillAsync(_second, volume, new TarItem("f", Content: "worker"));
        await UseAsync(_second.SocketPath);
        _scope.Environments[Prod]!["overrides"] = new JsonObject { ["m1"] = new JsonObject { ["quiesce"] = "none" }, ["w2"] = new JsonObject { ["quiesce"] = "stop" } };

        RunReport report = await _scope.RunWellAsync();

        report.Snapshots.Select(s => (s.Snapshot.Environment, s.Snapshot.Volume, s.Snapshot.Consistency)).ShouldBe([("prod.m1", volume, "none"), ("prod.w1", volume, "stop")], ignoreOrder: true);
        _scope.Warnings.ShouldContain(w => w.Contains("the override for \"w2\" is for no node of this Swarm", StringComparison.Ordinal));
        (await ContentAsync($"prod.m1/{volume}")).ShouldBe("manager");
        (await ContentAsync($"prod.w1/{volume}@2999-01-01")).ShouldBe("worker");
        await _scope.RestoreWellAsync($"prod.w1/{volume}", to: "prod.m1", name: volume + "_copy");
        (await _scope.AskAsync(volume + "_copy", "cat f")).Trim().ShouldBe("worker");
        BackupException which = await Should.ThrowAsync<BackupException>(_scope.RestoreAsync($"prod.w1/{volume}", to: Prod));
        which.Hint.ShouldContain("prod.m1, prod.w1");
        (await _scope.RunAsync(default, "prod.w1")).Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("prod.w1");
        (await Should.ThrowAsync<BackupException>(_scope.RunAsync(default, "prod.w9"))).Kind.ShouldBe(FailureKind.NotFound);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 180_000)]
    public async Task A_node_without_an_agent_fails_by_itself_and_one_that_was_drained_is_told()
    {
        await _scope.VolumeAsync("v", "echo 1 > f");
        await UseAsync();
        _swarm.Cluster.Add(new ClusterNode("w2id", "w2"));
        _swarm.Cluster.Add(new ClusterNode("w3id", "w3", State: "down"));
        _swarm.Cluster.Add(new ClusterNode("w4id", "w4", Availability: "drain"));

        ProgramResult run = await _scope.ProgramAsync("run");

        run.ExitCode.ShouldBe(3, run.Error);
        run.Error.ShouldContain("w4 of the Swarm is drained");
        (await _scope.ListAsync()).Select(s => s.Environment).Order().ShouldBe(["prod.m1", "prod.w1"]);
        ProgramResult check = await _scope.ProgramAsync("check");
        check.ExitCode.ShouldBe(1);
        check.Output.ShouldContain("node w2 of the Swarm is ready, but has no Portainer agent");
        check.Output.ShouldContain("a global service");
        check.Output.ShouldContain("node w3 of the Swarm is down");
        check.Output.ShouldContain("docker node rm w3id");
        check.Output.ShouldContain("environment prod.w1");

        // Gone, and the others have not noticed.
        await _swarm.EndAsync("w1");
        RunReport report = await _scope.RunAsync(default, "prod.m1", "prod.w1");
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("prod.m1");
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Environment, failure.Volume).ShouldBe(("prod.w1", null));
        failure.Problem.ShouldContain("the agent on node w1 does not answer the other agents");
    }

    [Fact(Timeout = 180_000)]
    public async Task Through_Portainer_every_Swarm_among_its_environments_is_its_nodes()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        await _swarm.StartAsync("m1", engine.SocketPath, manager: true);
        await _swarm.StartAsync("w1", engine.SocketPath);
        _server = await StrictServer.StartAsync(new ServerSettings
        {
            Https = false,
            Environments = [new(1, "prod", EnvironmentType.Agent, _swarm["m1"].Url), new(2, "lone", EnvironmentType.Docker, new Uri(engine.Url))],
        });
        string key = KeyFile(ServerSettings.AdministratorKey);
        Entry(new JsonObject { ["type"] = "portainer", ["url"] = _server.Url.ToString(), ["apiKey"] = key, ["environment"] = "*" }, "all");
        _scope.Environments["all"]!["overrides"] = new JsonObject { ["prod"] = new JsonObject { ["quiesce"] = "none" }, ["prod.w1"] = new JsonObject { ["quiesce"] = "stop" } };

        RunReport report = await _scope.RunWellAsync();

        report.Snapshots.Select(s => (s.Snapshot.Environment, s.Snapshot.Consistency)).ShouldBe([("lone", "pause"), ("prod.m1", "none"), ("prod.w1", "stop")], ignoreOrder: true);
        (await _scope.RunAsync(default, "prod")).Snapshots.Select(s => s.Snapshot.Environment).ShouldBe(["prod.m1", "prod.w1"]);
        (await _scope.RunAsync(default, "prod.w1")).Snapshots.ShouldHaveSingleItem();
        int asked = _server.Requests.Count(AsksProd);
        (await _scope.RunAsync(default, "lone")).Snapshots.ShouldHaveSingleItem();
        _server.Requests.Count(AsksProd).ShouldBe(asked, "who is not meant is not waited for");
        await _scope.RestoreWellAsync($"prod.w1/{volume}", to: "prod.m1", name: volume + "_copy");
        _server.Records.All.Where(r => r.Kind == "container").ShouldBeEmpty("helpers are removed by their id");

        string file = Path.Combine(_scope.Folder, "first.json");
        ProgramResult init = await _scope.ProgramAsync("init", "--connect", $"portainer:{_server.Url}", "--api-key", key, "--output", file);
        init.ExitCode.ShouldBe(0, init.Error);
        PolicyFile.Load(file).Environments.Select(e => e.Name).ShouldBe(["prod", "lone"]);
        string text = await File.ReadAllTextAsync(file);
        text.ShouldContain("// A Swarm: each of its nodes is an environment of its own.");
        text.ShouldContain("// prod.w1: volumes: ");
        (await _scope.ProgramAsync("--policy", file, "plan", "prod.w1")).Output.ShouldContain(volume);
        await _scope.NothingIsLeftAsync(user);

        static bool AsksProd(AgentRequest request) => request.Target.StartsWith("/api/endpoints/1/", StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task What_a_killed_run_left_on_a_node_is_undone_there()
    {
        string user = await _scope.UserAsync(await _scope.VolumeAsync("v", "echo 1 > f"));
        await UseAsync();
        await _scope.Engine.DockerAsync("pause", user);
        string name = (await _scope.Engine.DockerAsync("inspect", "-f", "{{.Name}}", user)).TrimStart('/');
        string startedAt = await _scope.Engine.DockerAsync("inspect", "-f", "{{.State.StartedAt}}", user);
        await using (UndoJournal journal = await _scope.JournalAsync())
            journal.Add(new UndoEntry("1", "run", "prod.w1", UndoKind.Unpause, new HeldContainer(user, name, startedAt, null, null, null), null, null, _scope.Context.Now, null));
        RecoverReport report = await _scope.RecoverAsync();
        report.Failures.ShouldBeEmpty();
        report.Actions.ShouldHaveSingleItem().ShouldStartWith("prod.w1: ");
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 120_000)]
    public async Task A_Swarm_that_does_not_answer_fails_as_a_whole_and_its_nodes_are_not_forgotten()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        JsonNode direct = _scope.Environments[RunningScope.Local]!.DeepClone();
        await UseAsync();
        await _scope.RunWellAsync();
        _scope.Environments["direct"] = direct;
        await _swarm.EndAsync("m1");

        RunReport report = await _scope.RunAsync();
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("direct");
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Environment, failure.Volume).ShouldBe((Prod, null));
        failure.Problem.ShouldContain("the connection was refused");
        (await _scope.PruneAsync(TimeSpan.FromDays(1))).Failures.ShouldHaveSingleItem().Environment.ShouldBe(Prod, "there are snapshots of its nodes");
        BackupException e = await Should.ThrowAsync<BackupException>(_scope.RunAsync(default, "prod.w1"));
        e.Problem.ShouldContain("for which ones \"prod\" stands is not known");
        await _scope.RestoreWellAsync($"prod.w1/{volume}", to: "direct", name: volume + "_copy");
    }

    [Fact(Timeout = 60_000)]
    public async Task Retention_needs_no_agent_where_no_snapshot_is_of_a_node()
    {
        Entry(new JsonObject { ["type"] = "portainer-agent", ["url"] = "https://127.0.0.1:1", ["secret"] = KeyFile("s") });
        (await _scope.PruneAsync(TimeSpan.FromDays(1))).Failures.ShouldBeEmpty();
    }

    // ---- lists that cannot be trusted

    private DockerEnvironment Open(string node) => _scope.Engine.NewEnvironment(PortainerAgentConnection.Create(node,
        new PortainerAgentConnectPolicy(_swarm["m1"].Url, new Secret(KeyFile("s"), "$"), null, false, TransferLimits.None) { Node = node }, _scope.State, _scope.Context), node);

    [Fact(Timeout = 60_000)]
    public async Task A_node_that_is_left_out_of_a_list_is_an_error_and_not_an_empty_list()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        await _scope.UserAsync(volume);
        await UseAsync();
        await using DockerEnvironment node = Open("w1");
        (await node.InspectAsync(default)).Volumes.ShouldContain(v => v.Name == volume);
        _swarm["w1"].Faults.EngineRefusesLists = true;
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(node.InspectAsync(default));
        e.Problem.ShouldContain("the agents of the Swarm leave node w1 out of the list");
        (await Should.ThrowAsync<EnvironmentException>(node.ListContainersAsync(default))).Problem.ShouldContain("cannot list the containers");
        (await Should.ThrowAsync<EnvironmentException>(node.RemoveHelpersAsync(null, default))).Problem.ShouldContain("cannot list the containers");
    }

    [Fact(Timeout = 120_000)]
    public async Task What_a_list_says_of_another_node_is_not_taken_for_this_ones()
    {
        _second = await EngineFixture.OwnAsync(Path.Combine(Path.GetTempPath(), $"bt-m{System.Environment.ProcessId}"));
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        await _scope.UserAsync(volume);
        await UseAsync(_second.SocketPath);
        await using DockerEnvironment node = Open("w1");
        _ = await node.ListContainersAsync(default);
        _swarm.Cluster.Mistake("w1", askedAt: "m1");
        Inventory inventory = await node.InspectAsync(default);
        _swarm.Cluster.IsMistakeToCome.ShouldBeFalse();
        inventory.Volumes.ShouldNotContain(v => v.Name == volume);
        inventory.Containers.ShouldBeEmpty();
        (inventory.Engine.HostName, inventory.Engine.Version).ShouldBe(("w1", "20.10.24"));
    }

    [Fact(Timeout = 60_000)]
    public async Task A_header_that_is_lost_on_the_way_is_noticed_before_anything_is_asked()
    {
        await UseAsync();
        _swarm["m1"].Faults.LosesTarget = true;
        await using DockerEnvironment node = Open("w1");
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(node.InspectAsync(default));
        e.Problem.ShouldContain("the header X-PortainerAgent-Target does not arrive");
        e.Unreachable.ShouldBeTrue();
    }

    [Fact(Timeout = 60_000)]
    public async Task Nothing_of_a_Swarm_is_opened_without_a_node_and_of_two_nodes_of_one_name_none()
    {
        await UseAsync();
        _swarm.Cluster.Add(new ClusterNode("w1second", "w1"));
        await using DockerEnvironment twin = Open("w1");
        (await Should.ThrowAsync<EnvironmentException>(twin.InspectAsync(default))).Problem.ShouldContain("2 nodes of the Swarm behind the Portainer agent");
        await using DockerEnvironment whole = _scope.Engine.NewEnvironment(PortainerAgentConnection.Create(Prod,
            new PortainerAgentConnectPolicy(_swarm["m1"].Url, new Secret(KeyFile("s"), "$"), null, false, TransferLimits.None), _scope.State, _scope.Context), Prod);
        (await Should.ThrowAsync<EnvironmentException>(whole.InspectAsync(default))).Problem.ShouldContain("is one of a Swarm");
    }

    // ---- the names

    private static EnvironmentPolicy Environment(string name) => new(name,
        new PortainerAgentConnectPolicy(new Uri("https://p"), null, null, false, TransferLimits.None), VolumePatterns.All, null, new VolumePolicy("disk", QuiescePolicy.Default, 3, null, TimeZoneInfo.Utc), []);

    private static IEnumerable<string> Names(string name, string[] written, params string[] nodes) => SwarmExpansion.Expand(Environment(name),
        [.. nodes.Select((n, i) => new ListedNode(n, $"{i + 1}abcdefghij", null))], [.. written.Append(name).Select(Environment)], new RecordingContext().Run).Select(e => e.Name);

    [Fact]
    public void A_node_is_called_by_its_environment_and_its_host()
    {
        Names("prod", [], "w1", "w2.example.com", "a/b").ShouldBe(["prod.w1", "prod.w2.example.com", "prod.a-b"]);
        Names("prod", [], "w1", "w1").ShouldBe(["prod.w1", "prod.w1-2abcdefg"]);
        Names("prod", ["prod.w1"], "w1").ShouldBe(["prod.w1-1abcdefg"]);
        Names("prod", ["prod.eu"], "eu.w1").ShouldBe(["prod.eu.w1-1abcdefg"], "prod.eu may have a node w1");
        Names("prod", [], new string('n', 70)).ShouldHaveSingleItem().Length.ShouldBe(64);
    }

    [Fact]
    public void Where_there_is_one_engine_the_environment_stays_as_it_is_and_an_override_is_for_nobody()
    {
        var context = new RecordingContext();
        EnvironmentPolicy environment = Environment("prod") with { Overrides = new Dictionary<string, EnvironmentPolicy> { ["w1"] = Environment("x") } };
        SwarmExpansion.Expand(environment, null, [environment], context.Run).ShouldHaveSingleItem().ShouldBe(environment with { Overrides = EnvironmentPolicy.NoOverrides });
        context.Events.OfType<RunEvent.Warning>().ShouldHaveSingleItem().Problem.ShouldContain("there is one engine, and no Swarm");
    }
}
