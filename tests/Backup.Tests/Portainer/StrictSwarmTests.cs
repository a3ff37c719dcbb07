using System.Net;
using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>The agents of a Swarm do what agent 1.6 says, asked by a plain client; both stand before one engine.</summary>
[Collection("engine")]
public sealed class StrictSwarmTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private const string Target = "X-PortainerAgent-Target", Manager = "X-PortainerAgent-ManagerOperation";

    private readonly EngineScope _scope = engine.NewScope();
    private readonly SwarmScope _swarm = new();
    private AgentClient _client = null!;

    public async Task InitializeAsync()
    {
        await _swarm.StartAsync("w1", engine.SocketPath);
        await _swarm.StartAsync("m1", engine.SocketPath, manager: true);
        _client = new AgentClient(_swarm["w1"].Url);
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _swarm.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private Task<HttpResponseMessage> GetAsync(string path, params (string, string)[] headers) => _client.SendAsync(HttpMethod.Get, path, null, null, headers);

    private static async Task<IEnumerable<string>> NodesAsync(HttpResponseMessage answer, string id)
    {
        JsonNode list = await AgentClient.JsonAsync(answer);
        return [.. (list as JsonArray ?? list["Volumes"]!.AsArray()).Where(i => (string?)(i!["Name"] ?? i["Id"]) == id).Select(i => (string?)i!["Portainer"]?["Agent"]?["NodeName"] ?? "").Order()];
    }

    [Fact(Timeout = Limit)]
    public async Task Agents_know_each_other_and_managers_know_the_nodes()
    {
        _swarm.Cluster.Add(new ClusterNode("x1id", "x1", State: "down"));
        JsonArray agents = (await AgentClient.JsonAsync(await GetAsync("/agents"))).AsArray();
        agents.Select(a => ((string)a!["NodeName"]!, (string)a["NodeRole"]!)).ShouldBe([("w1", "worker"), ("m1", "manager")]);
        JsonArray nodes = (await AgentClient.JsonAsync(await GetAsync("/v1.41/nodes"))).AsArray();
        nodes.Select(n => ((string)n!["Description"]!["Hostname"]!, (string)n["Status"]!["State"]!)).ShouldBe([("w1", "ready"), ("m1", "ready"), ("x1", "down")]);
    }

    [Fact(Timeout = Limit)]
    public async Task Lists_are_those_of_all_nodes_marked_unless_the_node_that_is_asked_is_the_one_that_is_meant()
    {
        string volume = await _scope.VolumeAsync("v");
        (await NodesAsync(await GetAsync("/volumes"), volume)).ShouldBe(["m1", "w1"]);
        (await NodesAsync(await GetAsync("/volumes", (Target, "m1")), volume)).ShouldBe(["m1", "w1"], "naming another node restricts nothing");
        (await NodesAsync(await GetAsync("/volumes", (Target, "w1")), volume)).ShouldBe([""], "its own list, unmarked");
        string id = await _scope.ContainerAsync();
        (await NodesAsync(await GetAsync("/v1.41/containers/json?all=1"), id)).ShouldBe(["m1", "w1"]);
        (await AgentClient.JsonAsync(await GetAsync("/volumes"))).AsObject().Select(m => m.Key).ShouldBe(["Volumes"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_node_that_is_gone_or_whose_engine_refuses_is_left_out_without_a_word()
    {
        string volume = await _scope.VolumeAsync("v");
        _swarm["m1"].Faults.EngineRefusesLists = true;
        using HttpResponseMessage refused = await GetAsync("/volumes");
        refused.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await NodesAsync(refused, volume)).ShouldBe(["w1"]);
        await _swarm.EndAsync("m1");
        (await NodesAsync(await GetAsync("/volumes"), volume)).ShouldBe(["w1"]);
        (await AgentClient.JsonAsync(await GetAsync("/containers/json?filters=bad"))).AsArray().ShouldBeEmpty();
        (await GetAsync("/_ping", (Target, "m1"))).StatusCode.ShouldBe(HttpStatusCode.BadGateway, "still known, and not there");
    }

    [Fact(Timeout = Limit)]
    public async Task Other_requests_go_to_the_node_that_is_named_to_a_manager_or_nowhere()
    {
        string volume = await _scope.VolumeAsync("v");
        (await GetAsync($"/volumes/{volume}", (Target, "m1"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        _swarm["m1"].Requests[^1].Target.ShouldBe($"/volumes/{volume}");
        _swarm["m1"].Requests[^1].Headers[Target].ShouldBe("m1");
        int before = _swarm["m1"].Requests.Count;
        (await GetAsync($"/volumes/{volume}")).StatusCode.ShouldBe(HttpStatusCode.OK);
        _swarm["m1"].Requests.Count.ShouldBe(before, "by whoever was reached");
        await GetAsync("/info?x=1", (Target, "w1"));
        _swarm["m1"].Requests[^1].Target.ShouldBe("/info?x=1&x=1", "a manager's, and the query twice");
        await GetAsync("/_ping", (Target, "w1"), (Manager, "1"));
        _swarm["m1"].Requests[^1].Target.ShouldBe("/_ping");
        using HttpResponseMessage unknown = await GetAsync("/_ping", (Target, "w9"));
        unknown.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        (await unknown.Content.ReadAsStringAsync()).ShouldContain("Unable to find the targeted agent");
        _swarm.Cluster.Leave(_swarm["m1"]);
        (await (await GetAsync("/services")).Content.ReadAsStringAsync()).ShouldContain("Unable to find an agent on any manager node");
    }

    [Fact(Timeout = Limit)]
    public async Task Two_nodes_that_are_mistaken_for_each_other_give_the_whole_list_under_one_name()
    {
        string volume = await _scope.VolumeAsync("v");
        _swarm.Cluster.Mistake("m1", askedAt: "w1");
        (await NodesAsync(await GetAsync("/volumes"), volume)).ShouldBe(["m1", "m1", "w1"]);
        _swarm.Cluster.IsMistakeToCome.ShouldBeFalse();
    }
}
