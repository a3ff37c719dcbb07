using System.Text.Json.Nodes;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Server;
using Backup.Quiescing;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>One entry of the policy that stands for all environments of a Portainer.</summary>
[Collection("engine")]
public sealed class TemplateTests(EngineFixture engine) : IAsyncLifetime
{
    private const string All = "portainer";

    private readonly RunningScope _scope = new(engine);
    private StrictServer? _server;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private ServerEnvironment Engine(int id, string name) => new(id, name, EnvironmentType.Docker, new Uri(engine.Url));

    /// <summary>Starts a Portainer with these; the policy's only entry stands for all of them.</summary>
    private async Task UseAsync(params ServerEnvironment[] environments)
    {
        _server = await StrictServer.StartAsync(new ServerSettings { Https = false, Environments = environments });
        string key = Path.Combine(_scope.Folder, "key");
        await File.WriteAllTextAsync(key, ServerSettings.AdministratorKey);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        JsonObject entry = _scope.Environments[RunningScope.Local]!.AsObject();
        _scope.Environments.Remove(RunningScope.Local);
        entry["connect"] = new JsonObject { ["type"] = "portainer", ["url"] = _server.Url.ToString(), ["apiKey"] = "file:" + key, ["environment"] = "*" };
        _scope.Environments[All] = entry;
    }

    [Fact(Timeout = 120_000)]
    public async Task Each_environment_is_backed_up_under_its_own_name_and_restored_into_another()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        await UseAsync(Engine(1, "shop"), new ServerEnvironment(2, "k8s", EnvironmentType.Kubernetes, new Uri("https://127.0.0.1:1")), Engine(3, "prod/db"),
            new ServerEnvironment(4, "island", EnvironmentType.EdgeAgent, new Uri("http://127.0.0.1:1")) { Async = true });
        _scope.Environments[All]!["overrides"] = new JsonObject
        {
            ["prod/db"] = new JsonObject { ["quiesce"] = "none" }, ["shpo"] = new JsonObject { ["quiesce"] = "none" },
        };

        RunReport report = await _scope.RunWellAsync();

        report.Snapshots.Select(s => (s.Snapshot.Environment, s.Snapshot.Consistency)).ShouldBe([("shop", "pause"), ("prod-db", "none")], ignoreOrder: true);
        _scope.Warnings.ShouldContain(w => w.Contains("island is an Edge environment in async mode", StringComparison.Ordinal));
        _scope.Warnings.ShouldContain(w => w.Contains("the override for \"shpo\"", StringComparison.Ordinal));
        _scope.Warnings.ShouldNotContain(w => w.Contains("k8s", StringComparison.Ordinal));
        await _scope.RestoreWellAsync($"shop/{volume}", to: "prod-db", name: volume + "_copy");
        await _scope.RestoreWellAsync($"shop/{volume}", name: volume + "_again");
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 120_000)]
    public async Task One_of_them_or_all_of_them_can_be_named_on_the_command_line()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        await UseAsync(Engine(1, "shop"), Engine(2, "wiki"));
        (await _scope.RunAsync(default, "wiki")).Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("wiki");
        (await _scope.RunAsync(default, All)).Snapshots.Select(s => s.Snapshot.Environment).Order().ShouldBe(["shop", "wiki"]);
        BackupException e = await Should.ThrowAsync<BackupException>(_scope.RunAsync(default, "wikki"));
        e.Kind.ShouldBe(FailureKind.NotFound);
        e.Hint.ShouldContain("shop, wiki");
        ProgramResult status = await _scope.ProgramAsync("status", "--max-age", "1h");
        status.ExitCode.ShouldBe(0, status.Error);
        status.Output.ShouldContain(volume);
        ProgramResult prune = await _scope.ProgramAsync("prune", "--dry-run");
        prune.ExitCode.ShouldBe(0, prune.Error);
        ProgramResult check = await _scope.ProgramAsync("check");
        check.ExitCode.ShouldBe(0, check.Error);
        (check.Output + check.Error).ShouldContain("environment wiki");
    }

    [Fact(Timeout = 120_000)]
    public async Task A_Portainer_that_does_not_answer_fails_alone_and_is_not_asked_when_it_is_not_meant()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        JsonNode direct = _scope.Environments[RunningScope.Local]!.DeepClone();
        await UseAsync(Engine(1, "shop"));
        _scope.Environments["direct"] = direct;
        (await _scope.RunAsync(default, "direct")).Failures.ShouldBeEmpty();
        _server!.Requests.ShouldBeEmpty();
        await _server.DisposeAsync();

        RunReport report = await _scope.RunAsync();
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("direct");
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        failure.Environment.ShouldBe(All);
        failure.Problem.ShouldContain("the connection was refused");
        (await Should.ThrowAsync<BackupException>(_scope.RunAsync(default, "shop"))).Problem.ShouldContain("its Portainer does not answer");
        (await _scope.PruneAsync(TimeSpan.FromDays(1))).Failures.ShouldHaveSingleItem().Problem.ShouldContain("the connection was refused");
        (await _scope.RestoreWellAsync($"direct/{volume}", to: "direct", name: volume + "_copy")).Differences.ShouldBeEmpty();
    }

    [Fact(Timeout = 120_000)]
    public async Task What_a_killed_run_left_in_one_of_them_is_undone_there()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        await UseAsync(Engine(1, "shop"));
        await _scope.Engine.DockerAsync("pause", user);
        string name = (await _scope.Engine.DockerAsync("inspect", "-f", "{{.Name}}", user)).TrimStart('/');
        string startedAt = await _scope.Engine.DockerAsync("inspect", "-f", "{{.State.StartedAt}}", user);
        await using (UndoJournal journal = await _scope.JournalAsync())
            journal.Add(new UndoEntry("1", "run", "shop", UndoKind.Unpause, new HeldContainer(user, name, startedAt, null, null, null), null, null, _scope.Context.Now, null));
        RecoverReport report = await _scope.RecoverAsync();
        report.Failures.ShouldBeEmpty();
        report.Actions.ShouldHaveSingleItem().ShouldStartWith("shop: ");
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 120_000)]
    public async Task A_first_policy_is_written_with_every_environment_of_a_Portainer()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        await UseAsync(Engine(1, "shop"), new ServerEnvironment(2, "k8s", EnvironmentType.Kubernetes, new Uri("https://127.0.0.1:1")), Engine(3, "prod/db"),
            new ServerEnvironment(4, "gone", EnvironmentType.Agent, new Uri("https://127.0.0.1:1")));
        string file = Path.Combine(_scope.Folder, "first.json"), key = "file:" + Path.Combine(_scope.Folder, "key");
        ProgramResult init = await _scope.ProgramAsync("init", "--connect", $"portainer:{_server!.Url}", "--api-key", key, "--output", file);
        init.ExitCode.ShouldBe(0, init.Error);
        Policy policy = PolicyFile.Load(file);
        policy.Environments.Select(e => (e.Name, ((PortainerConnectPolicy)e.Connect).Environment, ((PortainerConnectPolicy)e.Connect).ApiKey.Reference))
            .ShouldBe([("shop", "shop", key), ("prod-db", "prod/db", key), ("gone", "gone", key)]);
        string text = await File.ReadAllTextAsync(file);
        text.ShouldContain("// Not reached now: Portainer");
        (await _scope.ProgramAsync("--policy", file, "plan", "shop")).Output.ShouldContain(volume);
    }

    [Fact(Timeout = 120_000)]
    public async Task A_first_policy_through_an_agent_names_its_secret_and_pairs_with_nobody()
    {
        await using var agent = await Backup.PortainerRig.Agent.StrictAgent.StartAsync(new Backup.PortainerRig.Agent.AgentSettings(engine.SocketPath) { Secret = "s" });
        string file = Path.Combine(_scope.Folder, "first.json"), secret = Path.Combine(_scope.Folder, "secret");
        await File.WriteAllTextAsync(secret, "s");
        File.SetUnixFileMode(secret, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        ProgramResult refused = await _scope.ProgramAsync("init", "--connect", $"portainer-agent:{agent.Url}", "--output", file);
        refused.ExitCode.ShouldBe(1);
        refused.Error.ShouldContain("AGENT_SECRET");
        agent.Requests.ShouldAllBe(r => r.Target == "/ping");
        ProgramResult init = await _scope.ProgramAsync("init", "--connect", $"portainer-agent:{agent.Url}", "--secret", "file:" + secret, "--output", file);
        init.ExitCode.ShouldBe(0, init.Error);
        PolicyFile.Load(file).Environments.ShouldHaveSingleItem().Connect.ShouldBeOfType<PortainerAgentConnectPolicy>().Secret!.Reference.ShouldBe("file:" + secret);
    }

    // ---- the names

    private static readonly VolumePolicy Any = new("disk", QuiescePolicy.Default, 3, null, TimeZoneInfo.Utc);

    private static EnvironmentPolicy Entry(string name, string environment) => new(name,
        new PortainerConnectPolicy(new Uri("https://p"), new Secret("env:K", "$"), environment, null, Backup.Environments.TransferLimits.None), VolumePatterns.All, null, Any, []);

    private static IEnumerable<string> Names(IReadOnlyList<EnvironmentPolicy> written, params string[] listed) =>
        TemplateExpansion.Expand(Entry(All, "*"), [.. listed.Select((n, i) => new ListedEnvironment(n, $"{i + 1}", null))], written, new RecordingContext().Run).Select(e => e.Name);

    [Fact]
    public void Names_of_Portainer_become_names_that_the_policy_could_have()
    {
        Names([], "a/b@c\\d", "-.x", "  blank ", "\t", "döner").ShouldBe(["a-b-c-d", "x", "blank", "environment", "döner"]);
        Names([], new string('n', 70), new string('n', 70) + "x").ShouldBe([new string('n', 62) + "-1", new string('n', 62) + "-2"]);
    }

    [Fact]
    public void A_name_that_is_taken_gets_the_templates_name_before_it()
    {
        Names([Entry("shop", "other")], "shop", All, "wiki").ShouldBe([$"{All}-shop", $"{All}-{All}", "wiki"]);
        Names([], "a/b", "a-b", "a@b").ShouldBe(["a-b", $"{All}-a-b", $"{All}-a-b-3"]);
    }

    [Fact]
    public void An_entry_of_its_own_takes_an_environment_out_by_name_or_number()
    {
        Names([Entry("x", "Wiki"), Entry("y", "3")], "shop", "wiki", "blog").ShouldBe(["shop"]);
    }
}
