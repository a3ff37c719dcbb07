using System.Security.Cryptography;
using System.Text;
using Backup.Environments;
using Shouldly;
using Xunit;
using static Backup.Tests.Environments.ScriptedEngine;

namespace Backup.Tests.Environments;

/// <summary>How the client takes versions, errors and streams that break, against answers as engines and proxies have been seen to give them.</summary>
public sealed class DockerApiTests
{
    private const int Limit = 20_000;
    private static readonly SourceRef Volume = SourceRef.Volume("v");

    private static DockerEnvironment Open(ScriptedEngine engine, TimeSpan? stall = null)
    {
        var connection = engine.Connection();
        var api = new DockerApi("prod", connection, TimeProvider.System)
        {
            Http = new DockerHttp("prod", connection, TimeProvider.System) { Stall = stall ?? DockerHttp.DefaultStall },
        };
        return new DockerEnvironment(api, "prod", new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));
    }

    /// <summary>Answers what a read needs until the archive, which the test answers.</summary>
    private static Func<string, Stream, Task> Reading(Func<Stream, Task> archive) => (request, connection) => request switch
    {
        _ when request.Contains("/volumes/v") => JsonAsync(connection, """{"Name":"v","Driver":"local","Labels":null,"Options":null,"Scope":"local","Unknown":{"a":[1]}}"""),
        _ when request.Contains("/images/") => JsonAsync(connection, """{"Id":"sha256:1"}"""),
        _ when request.Contains("/containers/create") => JsonAsync(connection, """{"Id":"helper","Warnings":[]}""", "201 Created"),
        _ when request.StartsWith("GET", StringComparison.Ordinal) && request.Contains("/archive") => archive(connection),
        _ when request.StartsWith("DELETE", StringComparison.Ordinal) => TextAsync(connection, "", "204 No Content"),
        _ => TextAsync(connection, "unexpected: " + request, "400 Bad Request"),
    };

    private static async Task<Exception?> ReadAsync(DockerEnvironment environment) => await Record.ExceptionAsync(async () =>
    {
        await using ISourceHandle handle = await environment.PrepareSourceAsync(Volume, "run", default);
        await using Stream tar = await handle.OpenAsync(default);
        await tar.CopyToAsync(Stream.Null);
    });

    [Fact(Timeout = Limit)]
    public async Task A_service_that_others_change_meanwhile_is_read_again_until_its_update_is_taken()
    {
        int version = 6;
        await using var engine = new ScriptedEngine((request, connection) => request switch
        {
            _ when request.Contains("/containers/json") => JsonAsync(connection, "[]"),
            _ when request.StartsWith("GET", StringComparison.Ordinal) => JsonAsync(connection,
                $$$"""[{"ID":"web","Version":{"Index":{{{++version}}}},"Spec":{"Name":"web","Mode":{"Replicated":{"Replicas":2}},"Unknown":1.50}}]"""),
            _ when version < 9 => JsonAsync(connection, """{"message":"rpc error: code = Unknown desc = update out of sequence"}""", "500 Internal Server Error"),
            _ => JsonAsync(connection, "{}"),
        });
        await using DockerEnvironment environment = Open(engine);
        (await environment.ScaleAsync("web", 2, 0, default)).ShouldBeTrue();
        engine.Requests.Where(r => r.StartsWith("POST", StringComparison.Ordinal)).ShouldBe([.. new[] { 7, 8, 9 }.Select(v => $"POST /v1.41/services/web/update?version={v}")]);
    }

    [Theory(Timeout = Limit)]
    [InlineData("1.41", "1.12", "1.41")]
    [InlineData("1.47", "1.24", "1.47")]
    [InlineData("1.52", "1.44", "1.52")]
    [InlineData("1.57", "1.44", "1.52")]
    public async Task The_newest_version_that_both_speak_is_spoken(string offered, string minimum, string spoken)
    {
        await using var engine = new ScriptedEngine((_, connection) => JsonAsync(connection, """{"Volumes":null}""")) { Version = $$"""{"ApiVersion":"{{offered}}","MinAPIVersion":"{{minimum}}"}""" };
        await using DockerEnvironment environment = Open(engine);
        (await environment.Api.VolumesAsync(default)).ShouldBeEmpty();
        await environment.Api.VolumesAsync(default);
        engine.Requests.ShouldBe(["GET /version", $"GET /v{spoken}/volumes", $"GET /v{spoken}/volumes"]);
    }

    [Theory(Timeout = Limit)]
    [InlineData("""{"ApiVersion":"1.40","MinAPIVersion":"1.12"}""", "too old", "Docker 20.10")]
    [InlineData("""{"ApiVersion":"1.70","MinAPIVersion":"1.60"}""", "too new", "update this program")]
    [InlineData("""{"hello":"world"}""", "does not say which version", "Docker engine")]
    [InlineData("""<html>It works!</html>""", "not the Docker API", "Docker engine")]
    public async Task An_engine_that_does_not_fit_is_refused_with_a_cure(string version, string problem, string hint)
    {
        await using var engine = new ScriptedEngine((_, connection) => JsonAsync(connection, "{}")) { Version = version };
        await using DockerEnvironment environment = Open(engine);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
        e.Problem.ShouldContain(problem);
        e.Hint.ShouldContain(hint);
    }

    [Theory(Timeout = Limit)]
    [InlineData("""{"message":"driver failed"}""", "500 Internal Server Error", "cannot list the volumes: driver failed")]
    [InlineData("client version 1.10 is too old", "400 Bad Request", "cannot list the volumes: client version 1.10 is too old")]
    [InlineData("", "502 Bad Gateway", "cannot list the volumes: the engine answered 502 BadGateway")]
    [InlineData("""{"message":"cut of""", "500 Internal Server Error", """cannot list the volumes: {"message":"cut of""")]
    public async Task Errors_are_told_in_the_engines_words_whatever_their_form(string body, string status, string problem)
    {
        await using var engine = new ScriptedEngine((_, connection) => TextAsync(connection, body, status));
        await using DockerEnvironment environment = Open(engine);
        (await Should.ThrowAsync<EnvironmentException>(() => environment.Api.VolumesAsync(default))).Problem.ShouldBe(problem);
    }

    [Fact(Timeout = Limit)]
    public async Task A_full_disk_has_its_own_hint()
    {
        await using var engine = new ScriptedEngine((_, connection) => JsonAsync(connection, """{"message":"write /data/f: no space left on device"}""", "500 Internal Server Error"));
        await using DockerEnvironment environment = Open(engine);
        (await Should.ThrowAsync<EnvironmentException>(() => environment.Api.VolumesAsync(default))).Hint.ShouldContain("free some space");
    }

    [Fact(Timeout = Limit)]
    public async Task A_Windows_engine_is_refused()
    {
        await using var engine = new ScriptedEngine((_, connection) => JsonAsync(connection, """{"ID":"x","OSType":"windows"}"""));
        await using DockerEnvironment environment = Open(engine);
        (await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default))).Problem.ShouldContain("Windows");
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_cut_in_the_middle_is_an_error_and_the_helper_is_removed(bool local)
    {
        await using var engine = new ScriptedEngine(Reading(async connection =>
        {
            await HeadAsync(connection, "Transfer-Encoding: chunked\r\n");
            await connection.WriteAsync("1000\r\nonly this"u8.ToArray());
        }), local);
        await using DockerEnvironment environment = Open(engine);
        var e = (await ReadAsync(environment)).ShouldBeOfType<EnvironmentException>();
        e.Problem.ShouldStartWith("cannot read v: the connection to");
        e.Unreachable.ShouldBeFalse();
        engine.Requests.Count(r => r.StartsWith("DELETE", StringComparison.Ordinal)).ShouldBe(1);
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stream_that_stalls_is_given_up_and_the_helper_is_removed(bool local)
    {
        var never = new TaskCompletionSource();
        await using var engine = new ScriptedEngine(Reading(async connection =>
        {
            await HeadAsync(connection);
            await connection.WriteAsync(new byte[512]);
            await never.Task;
        }), local);
        await using DockerEnvironment environment = Open(engine, stall: TimeSpan.FromSeconds(0.5));
        (await ReadAsync(environment)).ShouldBeOfType<EnvironmentException>().Problem.ShouldContain("moved no byte");
        engine.Requests.Count(r => r.StartsWith("DELETE", StringComparison.Ordinal)).ShouldBe(1);
        never.SetResult();
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_archive_that_is_not_answered_for_too_long_is_given_up(bool local)
    {
        var never = new TaskCompletionSource();
        await using var engine = new ScriptedEngine(Reading(_ => never.Task), local);
        await using DockerEnvironment environment = Open(engine, stall: TimeSpan.FromSeconds(0.5));
        (await ReadAsync(environment)).ShouldBeOfType<EnvironmentException>().Problem.ShouldContain("did not answer within");
        never.SetResult();
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_refused_archive_is_told_in_the_engines_words(bool local)
    {
        await using var engine = new ScriptedEngine(Reading(connection => JsonAsync(connection, """{"message":"no such path"}""", "404 Not Found")), local);
        await using DockerEnvironment environment = Open(engine);
        (await ReadAsync(environment)).ShouldBeOfType<EngineRefusalException>().Problem.ShouldContain("no such path");
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_read_that_is_cancelled_ends_while_the_engine_is_silent(bool local)
    {
        var never = new TaskCompletionSource();
        await using var engine = new ScriptedEngine(Reading(async connection =>
        {
            await HeadAsync(connection);
            await connection.WriteAsync(new byte[512]);
            await never.Task;
        }), local);
        await using DockerEnvironment environment = Open(engine);
        await using ISourceHandle handle = await environment.PrepareSourceAsync(Volume, "run", default);
        await using Stream tar = await handle.OpenAsync(default);
        (await tar.ReadAsync(new byte[512])).ShouldBe(512);
        using var cancel = new CancellationTokenSource();
        ValueTask<int> waiting = tar.ReadAsync(new byte[512], cancel.Token);
        waiting.IsCompleted.ShouldBeFalse();
        await cancel.CancelAsync();
        (await Should.ThrowAsync<OperationCanceledException>(waiting.AsTask())).CancellationToken.ShouldBe(cancel.Token);
        never.SetResult();
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_large_archive_that_comes_in_pieces_is_read_whole(bool local)
    {
        byte[] sent = RandomNumberGenerator.GetBytes(3_000_001);
        await using var engine = new ScriptedEngine(Reading(async connection =>
        {
            await HeadAsync(connection);
            for (int at = 0, size = 1; at < sent.Length; at += size, size = Math.Min(size * 3, sent.Length - at)) await connection.WriteAsync(sent.AsMemory(at, size));
        }), local);
        await using DockerEnvironment environment = Open(engine);
        await using ISourceHandle handle = await environment.PrepareSourceAsync(Volume, "run", default);
        for (int time = 0; time < 2; time++)
        {
            await using Stream tar = await handle.OpenAsync(default);
            using var got = new MemoryStream();
            await tar.CopyToAsync(got, 700_000);
            got.ToArray().ShouldBe(sent);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_vanished_and_that_the_engine_made_anew_is_removed_again()
    {
        int asked = 0;
        await using var engine = new ScriptedEngine((request, connection) => request.StartsWith("GET", StringComparison.Ordinal) && request.Contains("/volumes/v") && ++asked == 2
            ? JsonAsync(connection, $$$"""{"Name":"v","Driver":"local","Labels":{"{{{ContainerFacts.HelperLabel}}}":"run"}}""")
            : Reading(c => TextAsync(c, "", "200 OK"))(request, connection));
        await using DockerEnvironment environment = Open(engine);
        (await ReadAsync(environment)).ShouldBeOfType<EnvironmentException>().Kind.ShouldBe(FailureKind.NotFound);
        engine.Requests.Where(r => r.StartsWith("DELETE", StringComparison.Ordinal)).ShouldBe(["DELETE /v1.41/containers/helper?force=1&v=1", "DELETE /v1.41/volumes/v"]);
    }

    [Fact(Timeout = Limit)]
    public async Task An_import_that_fails_under_status_200_is_an_error()
    {
        await using var engine = new ScriptedEngine((request, connection) => request.Contains("/images/create")
            ? JsonAsync(connection, "{\"status\":\"Importing\"}\r\n{\"errorDetail\":{\"message\":\"disk quota exceeded\"},\"error\":\"disk quota exceeded\"}\r\n")
            : request.Contains("/images/") ? JsonAsync(connection, """{"message":"No such image"}""", "404 Not Found") : Reading(_ => Task.CompletedTask)(request, connection));
        await using DockerEnvironment environment = Open(engine);
        (await ReadAsync(environment)).ShouldBeOfType<EngineRefusalException>().Problem.ShouldContain("disk quota exceeded");
    }

    [Theory(Timeout = Limit)]
    [InlineData(0, "", "")]
    [InlineData(8, null, null)]
    [InlineData(3, null, null)]
    [InlineData(11, null, null)]
    [InlineData(13, "hello", "")]
    [InlineData(24, "hello", "err")]
    public async Task Output_that_is_cut_inside_a_frame_is_an_error(int length, string? output, string? error)
    {
        byte[] frames = [1, 0, 0, 0, 0, 0, 0, 5, .. "hello"u8, 2, 0, 0, 0, 0, 0, 0, 3, .. "err"u8];
        await using var engine = new ScriptedEngine(async (request, connection) =>
        {
            if (request.EndsWith("/exec", StringComparison.Ordinal)) await JsonAsync(connection, """{"Id":"e"}""", "201 Created");
            else if (request.EndsWith("/start", StringComparison.Ordinal))
            {
                await HeadAsync(connection, "Content-Type: application/vnd.docker.multiplexed-stream\r\n");
                await connection.WriteAsync(frames.AsMemory(0, length));
            }
            else await JsonAsync(connection, """{"Running":false,"ExitCode":5}""");
        });
        await using DockerEnvironment environment = Open(engine);
        Task<ExecResult> exec = environment.ExecAsync("c", ["x"], TimeSpan.FromSeconds(10), default);
        if (output is null) (await Should.ThrowAsync<EnvironmentException>(exec)).Problem.ShouldContain("cut the output short");
        else (await exec).ShouldBe(new ExecResult(5, output, error!));
    }

    [Theory(Timeout = Limit)]
    [InlineData(8, 0, "cut the output short")]
    [InlineData(11, 0, "cut the output short")]
    [InlineData(16, 0, "cut the output short")]
    [InlineData(24, 0, null)]
    [InlineData(24, 5, "exit code 5: err")]
    public async Task A_stream_of_output_ends_only_with_its_last_frame_and_exit_code_0(int length, int exitCode, string? problem)
    {
        byte[] frames = [1, 0, 0, 0, 0, 0, 0, 5, .. "hello"u8, 2, 0, 0, 0, 0, 0, 0, 3, .. "err"u8];
        int asked = 0;
        await using var engine = new ScriptedEngine(async (request, connection) =>
        {
            if (request.EndsWith("/exec", StringComparison.Ordinal)) await JsonAsync(connection, """{"Id":"e"}""", "201 Created");
            else if (request.EndsWith("/start", StringComparison.Ordinal))
            {
                await HeadAsync(connection, "Content-Type: application/vnd.docker.raw-stream\r\n");
                await connection.WriteAsync(frames.AsMemory(0, length));
            }
            else await JsonAsync(connection, ++asked == 1 ? """{"Running":true,"ExitCode":null}""" : $$"""{"Running":false,"ExitCode":{{exitCode}}}""");
        });
        await using DockerEnvironment environment = Open(engine);
        await using Stream output = await environment.OpenExecAsync("c", ["x"], default);
        Task copying = output.CopyToAsync(Stream.Null);
        if (problem is null) await copying;
        else (await Should.ThrowAsync<EnvironmentException>(copying)).Problem.ShouldContain(problem);
    }

    [Fact(Timeout = Limit)]
    public async Task A_gateway_that_does_not_hand_on_standard_input_is_told_before_any_of_it_is_sent()
    {
        await using var engine = new ScriptedEngine(async (request, connection) =>
        {
            if (request.EndsWith("/exec", StringComparison.Ordinal)) await JsonAsync(connection, """{"Id":"e"}""", "201 Created");
            else await HeadAsync(connection, "Content-Type: application/vnd.docker.raw-stream\r\n");
        });
        await using DockerEnvironment environment = Open(engine);
        bool asked = false;
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.LoadAsync("c", ["x"], 1, (_, _) =>
        {
            asked = true;
            return Task.CompletedTask;
        }, default));
        e.Problem.ShouldContain("does not pass standard input on");
        asked.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task Names_are_encoded_in_addresses()
    {
        await using var engine = new ScriptedEngine((_, connection) => JsonAsync(connection, """{"message":"no"}""", "404 Not Found"));
        await using DockerEnvironment environment = Open(engine);
        (await environment.ExistsAsync(SourceRef.Volume("a/b?c#d e"), "run", default)).ShouldBeFalse();
        engine.Requests[^1].ShouldBe("GET /v1.41/volumes/a%2Fb%3Fc%23d%20e");
    }

    [Fact(Timeout = Limit)]
    public async Task A_helper_that_cannot_be_removed_is_reported_and_breaks_nothing()
    {
        byte[] tar = RawTar.OfDirectory();
        await using var engine = new ScriptedEngine((request, connection) => request.StartsWith("DELETE", StringComparison.Ordinal)
            ? JsonAsync(connection, """{"message":"device busy"}""", "500 Internal Server Error")
            : Reading(async c =>
            {
                await HeadAsync(c);
                await c.WriteAsync(tar);
            })(request, connection));
        var events = new List<RunEvent>();
        await using var environment = new DockerEnvironment("prod", engine.Connection(), new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Sink(events)));
        (await ReadAsync(environment)).ShouldBeNull();
        var warning = events.ShouldHaveSingleItem().ShouldBeOfType<RunEvent.Warning>();
        warning.Problem.ShouldContain("device busy");
        warning.Hint.ShouldContain("backup recover");
    }

    [Fact]
    public void The_first_header_of_a_tar_tells_directory_from_file_behind_extended_headers()
    {
        byte[] longName = RawTar.Build([new TarItem(new string('n', 150))], dotted: false);
        TarHead.FirstType(longName.AsSpan(0, 512), out int needed).ShouldBeNull();
        needed.ShouldBe(3 * 512);
        TarHead.FirstType(longName, out _).ShouldBe('0');
        TarHead.FirstType(RawTar.OfDirectory(), out _).ShouldBe('5');
        TarHead.FirstType(new byte[1024], out _).ShouldBe('\0');
        TarHead.RootAs("data", RawTar.Build([TarItem.Dir("other")])).ShouldBeNull();
        RawTar.Parse(TarHead.RootAs("data", RawTar.Build([TarItem.Dir("") with { Uid = 7 }])!)!).ShouldHaveSingleItem().ShouldBe(TarItem.Dir("data") with { Uid = 7 });
    }

    private sealed class Sink(List<RunEvent> events) : IProgress<RunEvent>
    {
        public void Report(RunEvent value) => events.Add(value);
    }
}
