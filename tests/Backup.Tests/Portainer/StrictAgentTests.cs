using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>The test agent does what the notes say that the real one does: each test is a paragraph of them.</summary>
[Collection("engine")]
public sealed class StrictAgentTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 60_000;
    private readonly EngineScope _scope = engine.NewScope();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    private Task<StrictAgent> StartAsync(Func<AgentSettings, AgentSettings>? change = null)
    {
        var settings = new AgentSettings(engine.SocketPath);
        return StrictAgent.StartAsync(change?.Invoke(settings) ?? settings);
    }

    [Fact(Timeout = Limit)]
    public async Task A_ping_needs_no_signature_and_says_what_answers()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        using HttpResponseMessage answer = await client.SendAsync(null, null, HttpMethod.Get, "/ping");
        answer.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        answer.Headers.GetValues("Portainer-Agent").ShouldBe(["2.23.0"]);
        answer.Headers.GetValues("Portainer-Agent-API-Version").ShouldBe(["2"]);
        answer.Headers.GetValues("Portainer-Agent-Platform").ShouldBe(["1"]);
        agent.Paired.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task Requests_without_a_right_signature_are_refused_in_the_agents_words()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        using HttpResponseMessage without = await client.SendAsync(null, null, HttpMethod.Get, "/_ping");
        without.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        without.Headers.Contains("Portainer-Agent").ShouldBeTrue();
        JsonNode body = await AgentClient.JsonAsync(without);
        ((string)body["message"]!, (string)body["details"]!).ShouldBe(("Missing request signature headers", "Unauthorized"));

        using HttpResponseMessage padded = await client.SendAsync(client.PublicKey, client.Signature + "==", HttpMethod.Get, "/_ping");
        padded.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        ((string)(await AgentClient.JsonAsync(padded))["details"]!).ShouldContain("illegal base64 data");
        (await client.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact(Timeout = Limit)]
    public async Task The_first_key_owns_the_agent_even_when_its_signature_is_nonsense()
    {
        await using StrictAgent agent = await StartAsync();
        using AgentClient first = new(agent.Url), second = new(agent.Url);
        (await first.SendAsync(first.PublicKey, second.Signature, HttpMethod.Get, "/_ping")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        agent.Paired.ShouldBeTrue();
        (await second.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await first.SendAsync("anything", first.Signature, HttpMethod.Get, "/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
        agent.Restart();
        (await second.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact(Timeout = Limit)]
    public async Task With_a_secret_any_key_will_do_that_signs_the_secret()
    {
        await using StrictAgent agent = await StartAsync(s => s with { Secret = "shared" });
        using AgentClient one = new(agent.Url, "shared"), other = new(agent.Url, "shared"), wrong = new(agent.Url);
        (await wrong.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await one.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await other.GetAsync("/_ping")).StatusCode.ShouldBe(HttpStatusCode.OK);
        agent.Paired.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task What_looks_like_a_version_is_cut_out_of_paths_and_names()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        ((string)(await AgentClient.JsonAsync(await client.GetAsync("/v9.99/version")))["ApiVersion"]!).ShouldStartWith("1.");

        string name = "v1.0-" + _scope.Prefix;
        (await client.SendAsync(HttpMethod.Post, "/volumes/create", AgentClient.Json(new JsonObject { ["Name"] = name }))).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await client.GetAsync("/volumes/" + name)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await client.GetAsync("/volumes/%761.0-" + _scope.Prefix)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        await _scope.DockerAsync("volume", "rm", name);
    }

    [Fact(Timeout = Limit)]
    public async Task An_upload_past_the_limit_ends_in_500_and_leaves_half_a_volume()
    {
        await using StrictAgent agent = await StartAsync(s => s with { UploadLimit = TimeSpan.FromSeconds(3) });
        using var client = new AgentClient(agent.Url);
        (string volume, string helper) = await HelperAsync();
        byte[] tar = RawTar.OfDirectory([.. Enumerable.Range(0, 40).Select(i => new TarItem($"f{i:00}", Content: new string('x', 100_000)))]);
        using HttpResponseMessage answer = await client.SendAsync(HttpMethod.Put, $"/containers/{helper}/archive?path=/data", new SlowContent(tar, TimeSpan.FromSeconds(6)));
        answer.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        JsonNode body = await AgentClient.JsonAsync(answer);
        ((string)body["message"]!).ShouldBe("Unable to proxy the request via the Docker socket");
        ((string)body["details"]!).ShouldContain("i/o timeout");
        agent.Faults.UploadsCut.ShouldBe(1);
        int files;
        // The engine may still be at what it got.
        while ((files = RawTar.Parse(await _scope.ReadAsync(SourceRefOf(volume))).Count(i => i.Type == '0')) == 0) await Task.Delay(50);
        files.ShouldBeLessThan(40);
    }

    [Fact(Timeout = Limit)]
    public async Task An_answer_past_the_limit_is_torn()
    {
        await using StrictAgent agent = await StartAsync(s => s with { DownloadLimit = TimeSpan.FromSeconds(5) });
        using var client = new AgentClient(agent.Url);
        (_, string helper) = await HelperAsync(RawTar.OfDirectory(new TarItem("big", Content: new string('x', 20 << 20))));
        using HttpResponseMessage answer = await client.GetAsync($"/containers/{helper}/archive?path=/data/.");
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        await using Stream body = await answer.Content.ReadAsStreamAsync();
        byte[] piece = new byte[1 << 20];
        await body.ReadExactlyAsync(piece);
        while (agent.Faults.DownloadsCut == 0) await Task.Delay(50);
        await Should.ThrowAsync<IOException>(async () => { while (await body.ReadAsync(piece) > 0) { } });
        agent.Faults.DownloadsCut.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task The_engines_death_looks_like_a_clean_end()
    {
        await using StrictAgent agent = await StartAsync();
        agent.Faults.EngineDiesAfter = 300_000;
        using var client = new AgentClient(agent.Url);
        (_, string helper) = await HelperAsync(RawTar.OfDirectory(new TarItem("big", Content: new string('x', 1 << 20))));
        using HttpResponseMessage answer = await client.GetAsync($"/containers/{helper}/archive?path=/data/.");
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await answer.Content.ReadAsByteArrayAsync()).Length.ShouldBe(300_000);
        agent.Faults.Deaths.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task An_upgrade_is_granted_and_then_nothing_comes()
    {
        await using StrictAgent agent = await StartAsync(s => s with { DownloadLimit = TimeSpan.FromSeconds(5) });
        using var client = new AgentClient(agent.Url);
        using HttpResponseMessage answer = await client.SendAsync(HttpMethod.Get, "/_ping", null, null, ("Connection", "Upgrade"), ("Upgrade", "tcp"));
        answer.StatusCode.ShouldBe(HttpStatusCode.SwitchingProtocols);
        await using Stream silence = await answer.Content.ReadAsStreamAsync();
        (await Record.ExceptionAsync(async () => (await silence.ReadAsync(new byte[1])).ShouldBe(0)))?.ShouldBeAssignableTo<IOException>();
        agent.Faults.Upgrades.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task Nothing_of_a_small_answer_comes_before_its_end()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        Task<HttpResponseMessage> events = client.GetAsync("/events");
        string id = await _scope.ContainerAsync();
        Task first = await Task.WhenAny(events, Task.Delay(1000));
        first.ShouldNotBe(events, $"not even the head, although {id} was made and started");
    }

    [Fact(Timeout = Limit)]
    public async Task Over_HTTP_2_a_container_cannot_be_started()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        string id = await _scope.ContainerAsync(new TestContainer { Start = false });
        (await client.SendAsync(HttpMethod.Post, $"/containers/{id}/start", null, HttpVersion.Version20)).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await client.SendAsync(HttpMethod.Post, $"/containers/{id}/start")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Fact(Timeout = Limit)]
    public async Task A_standalone_agent_manages_no_others_and_has_no_key_to_tell()
    {
        await using StrictAgent agent = await StartAsync();
        using var client = new AgentClient(agent.Url);
        using HttpResponseMessage answer = await client.GetAsync("/agents");
        answer.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        ((string)(await AgentClient.JsonAsync(answer))["details"]!).ShouldBe("Agent management is disabled");
        (await client.SendAsync(null, null, HttpMethod.Get, "/key")).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
    }

    [Fact(Timeout = Limit)]
    public async Task A_file_of_a_volume_is_read_in_ranges_where_the_volumes_are_mounted()
    {
        string volume = await _scope.VolumeAsync("browse", RawTar.OfDirectory(new TarItem("file", Content: "0123456789")));
        string mountpoint = await _scope.DockerAsync("volume", "inspect", "-f", "{{.Mountpoint}}", volume);
        await using StrictAgent agent = await StartAsync(s => s with { VolumesRoot = Path.GetDirectoryName(Path.GetDirectoryName(mountpoint)) });
        using var client = new AgentClient(agent.Url);
        JsonNode list = await AgentClient.JsonAsync(await client.GetAsync($"/browse/ls?volumeID={volume}&path=/"));
        ((string)list[0]!["Name"]!, (long)list[0]!["Size"]!, (bool)list[0]!["Dir"]!).ShouldBe(("file", 10, false));

        using HttpResponseMessage part = await client.SendAsync(HttpMethod.Get, $"/v2/browse/get?volumeID={volume}&path=/file", null, null, ("Range", "bytes=3-5"));
        part.StatusCode.ShouldBe(HttpStatusCode.PartialContent);
        (await part.Content.ReadAsStringAsync()).ShouldBe("345");
        (await client.GetAsync($"/browse/get?volumeID={volume}&path=/../file")).StatusCode.ShouldBe(HttpStatusCode.BadRequest);

        await using StrictAgent blind = await StartAsync();
        using var other = new AgentClient(blind.Url);
        (await other.GetAsync($"/browse/get?volumeID={volume}&path=/file")).StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
    }

    /// <summary>A volume in a container that is never started.</summary>
    private async Task<(string Volume, string Helper)> HelperAsync(byte[]? tar = null)
    {
        string volume = await _scope.VolumeAsync("data", tar);
        return (volume, await _scope.ContainerAsync(new TestContainer { Start = false, HostPrograms = false, Mounts = [new TestMount(volume, "/data")] }));
    }

    private static Backup.Environments.SourceRef SourceRefOf(string volume) => Backup.Environments.SourceRef.Volume(volume);

    /// <summary>Takes its time.</summary>
    private sealed class SlowContent : HttpContent
    {
        private readonly byte[] _bytes;
        private readonly TimeSpan _time;

        internal SlowContent(byte[] bytes, TimeSpan time)
        {
            (_bytes, _time) = (bytes, time);
            Headers.ContentType = new MediaTypeHeaderValue("application/x-tar");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            const int Pieces = 60;
            foreach (byte[] piece in _bytes.Chunk(_bytes.Length / Pieces))
            {
                await stream.WriteAsync(piece);
                await stream.FlushAsync();
                await Task.Delay(_time / Pieces);
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
