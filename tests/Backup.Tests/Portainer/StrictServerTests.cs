using System.Net;
using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>The test server does what the notes say that the real one does: each test is a paragraph of them.</summary>
[Collection("engine")]
public sealed class StrictServerTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private readonly EngineScope _scope = engine.NewScope();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    private ServerEnvironment Local => new(1, "local", EnvironmentType.Docker, new Uri(engine.Url));

    private static Task<StrictServer> StartAsync(params ServerEnvironment[] environments) =>
        StrictServer.StartAsync(new ServerSettings { Https = false, Environments = environments });

    [Fact(Timeout = Limit)]
    public async Task Only_one_credential_is_taken_and_no_cookie()
    {
        await using StrictServer server = await StartAsync(Local);
        using ServerClient client = new(server.Url), nobody = new(server.Url, null), wrong = new(server.Url, "ptr_no");
        (await client.GetAsync("/api/endpoints")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await nobody.GetAsync("/api/endpoints")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await wrong.GetAsync("/api/endpoints")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await client.GetAsync("/api/endpoints", ("Authorization", "Bearer x"))).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await client.GetAsync("/api/endpoints", ("Cookie", "portainer_api_key=x"))).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await nobody.GetAsync("/api/system/status")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await (await client.GetAsync("/api/nothing")).Content.ReadAsStringAsync()).ShouldBe("404 page not found\n");
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_created_is_answered_with_200_and_written_down_for_the_keys_user()
    {
        await using StrictServer server = await StartAsync(Local);
        using var client = new ServerClient(server.Url);
        string volume = _scope.Prefix + "_v";
        for (int times = 1; times <= 2; times++)
        {
            using HttpResponseMessage made = await client.SendAsync(HttpMethod.Post, "/api/endpoints/1/docker/v1.41/volumes/create", AgentClient.Json(new JsonObject { ["Name"] = volume }));
            made.StatusCode.ShouldBe(HttpStatusCode.OK);
            server.Records.All.Count(r => r.Kind == "volume" && r.Resource.StartsWith(volume + "_", StringComparison.Ordinal)).ShouldBe(times, "a second one for a volume that existed");
        }
        var body = new JsonObject { ["Image"] = await _scope.EmptyImageAsync(), ["Cmd"] = new JsonArray("-"), ["Labels"] = new JsonObject { ["backup.test"] = _scope.Prefix } };
        string id = await CreateAsync("one"), other = await CreateAsync("two");
        (await client.SendAsync(HttpMethod.Delete, $"/api/endpoints/1/docker/containers/{id}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await client.SendAsync(HttpMethod.Delete, $"/api/endpoints/1/docker/containers/{other[..12]}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        server.Records.All.Where(r => r.Kind == "container").ShouldHaveSingleItem().Resource.ShouldBe(other, "its record was not found by the short id");

        async Task<string> CreateAsync(string name)
        {
            using HttpResponseMessage answer = await client.SendAsync(HttpMethod.Post, $"/api/endpoints/1/docker/containers/create?name={_scope.Prefix}-{name}", AgentClient.Json(body));
            answer.StatusCode.ShouldBe(HttpStatusCode.OK);
            return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["Id"]!;
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Hidden_containers_are_in_no_list_and_others_see_only_what_is_theirs()
    {
        string hidden = await _scope.ContainerAsync(new TestContainer { Start = false, Labels = new Dictionary<string, string> { ["secret"] = "yes" } });
        string volume = await _scope.VolumeAsync("v");
        await using StrictServer server = await StrictServer.StartAsync(new ServerSettings
        {
            Https = false, Environments = [Local, Local with { Id = 2 }], HiddenLabels = ["secret=yes"],
            Users = [new ServerUser(ServerSettings.AdministratorKey, 1, true), new ServerUser("ptr_user", 7, false, [1])],
        });
        using ServerClient admin = new(server.Url), user = new(server.Url, "ptr_user");
        (await admin.JsonAsync("/api/endpoints/1/docker/containers/json?all=1")).AsArray().ShouldNotContain(c => (string)c!["Id"]! == hidden);
        (await admin.GetAsync($"/api/endpoints/1/docker/containers/{hidden}/json")).StatusCode.ShouldBe(HttpStatusCode.OK);

        (await user.JsonAsync("/api/endpoints")).AsArray().ShouldHaveSingleItem();
        (await user.GetAsync("/api/endpoints/2/docker/info")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await user.JsonAsync("/api/endpoints/1/docker/volumes"))["Volumes"]!.AsArray().ShouldBeEmpty();
        (await user.GetAsync($"/api/endpoints/1/docker/volumes/{volume}")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        string id = (string)(await admin.JsonAsync("/api/endpoints/1/docker/info"))["ID"]!;
        server.Records.Add("volume", $"{volume}_{id}", 7);
        (await user.GetAsync($"/api/endpoints/1/docker/volumes/{volume}")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact(Timeout = Limit)]
    public async Task Few_headers_reach_an_agent_through_a_newer_server()
    {
        await using StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath));
        var behind = new ServerEnvironment(1, "a", EnvironmentType.Agent, agent.Url);
        await using StrictServer newer = await StartAsync(behind);
        await using StrictServer older = await StrictServer.StartAsync(new ServerSettings { Https = false, Version = "2.23.0", Environments = [behind] });
        foreach ((StrictServer server, bool passed) in new[] { (newer, false), (older, true) })
        {
            using var client = new ServerClient(server.Url);
            await client.GetAsync("/api/endpoints/1/docker/_ping", ("Range", "bytes=0-1"), ("X-PortainerAgent-ManagerOperation", "1"), ("X-PortainerAgent-Target", "n"));
            IReadOnlyDictionary<string, string> headers = agent.Requests[^1].Headers;
            headers.ContainsKey("X-PortainerAgent-Target").ShouldBeTrue();
            headers.ContainsKey("X-API-Key").ShouldBeFalse();
            headers.ContainsKey("Range").ShouldBe(passed);
            headers.ContainsKey("X-PortainerAgent-ManagerOperation").ShouldBe(passed);
            agent.Restart();
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_tunnel_is_waited_for_and_closed_under_whatever_streams_when_nothing_new_is_asked()
    {
        string volume = await _scope.VolumeAsync("big", RawTar.OfDirectory(new TarItem("big", Content: new string('x', 40 << 20))));
        string helper = await _scope.ContainerAsync(new TestContainer { Start = false, HostPrograms = false, Mounts = [new TestMount(volume, "/data")] });
        await using StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { Edge = true });
        await using StrictServer server = await StartAsync(new ServerEnvironment(1, "e", EnvironmentType.EdgeAgent, agent.Url)
        {
            CheckIn = TimeSpan.FromSeconds(1), TunnelIdle = TimeSpan.FromSeconds(5),
        });
        using var client = new ServerClient(server.Url);
        long started = TimeProvider.System.GetTimestamp();
        (await client.GetAsync("/api/endpoints/1/docker/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
        TimeProvider.System.GetElapsedTime(started).ShouldBeGreaterThan(TimeSpan.FromSeconds(0.9));

        using HttpResponseMessage answer = await client.GetAsync($"/api/endpoints/1/docker/containers/{helper}/archive?path=/data/.");
        await using Stream tar = await answer.Content.ReadAsStreamAsync();
        await Should.ThrowAsync<IOException>(async () =>
        {
            byte[] piece = new byte[1 << 20];
            while (await tar.ReadAtLeastAsync(piece, piece.Length, throwOnEndOfStream: false) > 0) await Task.Delay(300);
        });
        server.Tunnels[1].Cut.ShouldBe(1);

        server.Tunnels[1].AgentAsleep = true;
        using HttpResponseMessage asleep = await client.GetAsync("/api/endpoints/1/docker/_ping");
        asleep.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        ((string)(await AgentClient.JsonAsync(asleep))["message"]!).ShouldBe("Unable to get the active tunnel");
    }
}
