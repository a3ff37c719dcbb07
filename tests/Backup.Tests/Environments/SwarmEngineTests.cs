using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Tests.Contracts;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>The services' contract on a real engine in swarm mode, and what only a real swarm can show.</summary>
[Collection("swarm")]
public sealed class SwarmEngineTests(SwarmFixture swarm) : ServiceContract
{
    private const int Limit = 120_000;
    private readonly EngineScope _scope = swarm.Engine.NewScope();
    private readonly List<string> _services = [];

    protected override Task<IEnvironment> OpenAsync() => Task.FromResult<IEnvironment>(_scope.NewEnvironment(swarm.Engine.UnixConnection(), "swarm"));

    protected override async Task CloseAsync()
    {
        foreach (string service in _services) await SwarmFixture.RemoveAsync(_scope, service);
        await _scope.DisposeAsync();
    }

    protected override Task<string> NewServiceAsync(string name, int? replicas) => NewAsync(name, replicas);

    private async Task<string> NewAsync(string name, int? replicas, params string[] options)
    {
        _services.Add($"{_scope.Prefix}_{name}");
        string id = await swarm.ServiceAsync(_scope, _services[^1], replicas, null, options);
        // The manager hears of the tasks a moment after the engine.
        while ((await Environment.FindServiceAsync(id, default))!.RunningTasks != (replicas ?? 1)) await Task.Delay(50);
        return id;
    }

    [Fact(Timeout = Limit)]
    public async Task Scaling_to_0_and_back_leaves_the_rest_of_the_spec_to_the_last_word()
    {
        string id = await NewAsync("rich", 2, "--label", "a=<b> & \"c\"", "--env", "GREETING=grüß dich", "--constraint", "node.role==manager", "--limit-memory", "100m", "--limit-cpu", "0.3",
            "--restart-condition", "on-failure", "--restart-window", "90s", "--update-failure-action", "rollback", "--update-max-failure-ratio", "0.25", "--rollback-parallelism", "3",
            "--health-cmd", "true", "--health-interval", "1s", "--ulimit", "nofile=1000:2000", "--cap-add", "NET_ADMIN", "--sysctl", "net.core.somaxconn=1024", "--replicas-max-per-node", "5");
        string before = await SwarmFixture.SpecAsync(_scope, _services[0]);
        (await Environment.ScaleAsync(id, 2, 0, default)).ShouldBeTrue();
        JsonNode down = JsonNode.Parse(await SwarmFixture.SpecAsync(_scope, _services[0]))!;
        down["Mode"]!["Replicated"]!["Replicas"]!.GetValue<long>().ShouldBe(0);
        (await Environment.ScaleAsync(id, 0, 2, default)).ShouldBeTrue();
        (await SwarmFixture.SpecAsync(_scope, _services[0])).ShouldBe(before);
        (await Environment.FindServiceAsync(id, default))!.Constrained.ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task A_spec_that_somebody_changed_since_it_was_read_is_refused_in_the_words_that_lead_to_another_try()
    {
        string id = await NewAsync("busy", 1);
        ServiceAnswer read = (await _scope.Api.ServicesAsync(id, default)).Single();
        await _scope.DockerAsync("service", "update", "--detach", "--label-add", "n=1", _services[0]);
        (await Should.ThrowAsync<EngineRefusalException>(_scope.Api.UpdateServiceAsync(read, read.Spec, "scale it", default))).Problem.ShouldContain(SwarmServices.Outdated);
        (await Environment.ScaleAsync(id, 1, 0, default)).ShouldBeTrue();
        JsonNode.Parse(await SwarmFixture.SpecAsync(_scope, _services[0]))!["Labels"]!.ToJsonString().ShouldBe("""{"n":"1"}""");
    }

    [Fact(Timeout = Limit)]
    public async Task An_engine_that_is_no_manager_says_so()
    {
        string directory = Path.Combine(Path.GetTempPath(), "bt" + RandomNumberGenerator.GetHexString(8, lowercase: true));
        EngineFixture plain = await EngineFixture.OwnAsync(directory);
        try
        {
            await using (EngineScope scope = plain.NewScope())
            {
                // The container of a task, as a worker shows it.
                await scope.ContainerAsync(new TestContainer { Labels = new Dictionary<string, string> { ["com.docker.swarm.task.id"] = "t", ["com.docker.swarm.service.id"] = "s" } });
                await using DockerEnvironment environment = scope.NewEnvironment(plain.UnixConnection(), "worker");
                SwarmFacts facts = (await environment.InspectAsync(default)).Swarm.ShouldNotBeNull();
                (facts.Unread, facts.Services.Count, facts.Nodes).ShouldBe(("this node is not a manager of the swarm", 0, null));
            }
        }
        finally
        {
            await plain.DisposeAsync();
        }
    }
}
