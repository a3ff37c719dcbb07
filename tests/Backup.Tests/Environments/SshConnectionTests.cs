using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>What ssh does and what a user reads when it cannot, against a real sshd.</summary>
[Collection("engine")]
public sealed class SshConnectionTests(EngineFixture engine, SshServer ssh) : IClassFixture<SshServer>, IAsyncLifetime
{
    private const int Limit = 60_000;

    public Task InitializeAsync() => ssh.StartAsync(engine.Url);

    public Task DisposeAsync() => Task.CompletedTask;

    private static DockerEnvironment Open(DockerConnection connection) =>
        new("prod", connection, new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));

    private static async Task<EnvironmentException> FailureAsync(DockerConnection connection)
    {
        await using DockerEnvironment environment = Open(connection);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
        e.Unreachable.ShouldBeTrue(e.Problem);
        e.Problem.ShouldStartWith("cannot reach environment prod at ssh://");
        return e;
    }

    [Fact(Timeout = Limit)]
    public async Task Another_socket_of_the_host_is_named_by_its_path()
    {
        await using DockerEnvironment environment = Open(ssh.Connect(ssh.DockerPort, engine.SocketPath));
        (await environment.InspectAsync(default)).Engine.Id.ShouldNotBeEmpty();
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.DockerPort, "/no/such.sock"));
        e.Problem.ShouldContain("docker on 127.0.0.1 says:");
        e.Problem.ShouldContain("/no/such.sock");
        e.Hint.ShouldBe($"is the Docker engine running there? try: ssh -p {ssh.DockerPort} root@127.0.0.1 docker version");
    }

    [Fact(Timeout = Limit)]
    public async Task No_ssh_process_outlives_its_environment()
    {
        foreach ((int port, string path) in new[] { (ssh.DockerPort, ""), (ssh.BarePort, engine.SocketPath) })
        {
            string[] temporary = Directory.GetDirectories(Path.GetTempPath(), "backup-ssh-*");
            await using (DockerEnvironment environment = Open(ssh.Connect(port, path)))
            {
                await environment.InspectAsync(default);
                ssh.Clients().ShouldNotBeEmpty();
            }
            while (ssh.Clients().Count > 0 || Directory.GetDirectories(Path.GetTempPath(), "backup-ssh-*").Except(temporary).Any()) await Task.Delay(20);
        }
        while (Zombies() > 0) await Task.Delay(20); // one that stays is ended by the time limit

        static int Zombies() => Directory.GetDirectories("/proc/self/task")
            .SelectMany(task => Read(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(child => Read($"/proc/{child}/stat").Contains("(ssh) Z", StringComparison.Ordinal));

        // Threads and processes of other tests end at any time.
        static string Read(string path)
        {
            try
            {
                return File.ReadAllText(path);
            }
            catch (IOException)
            {
                return "";
            }
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_missing_ssh_program_is_named_with_what_to_install()
    {
        EnvironmentException e = await FailureAsync(SshConnection.Create(new Uri("ssh://root@127.0.0.1"), "no-such-ssh"));
        e.Problem.ShouldEndWith("there is no program no-such-ssh here");
        e.Hint.ShouldContain("apt-get install openssh-client");
    }

    [Fact(Timeout = Limit)]
    public async Task An_unknown_host_key_is_refused_with_the_way_to_learn_it()
    {
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.DockerPort, program: await ssh.ClientAsync("naive", "-o UserKnownHostsFile=/dev/null")));
        e.Problem.ShouldContain("the host key of 127.0.0.1 is not known: Host key verification failed.");
        e.Hint.ShouldContain($"connect once by hand and compare the key: ssh -p {ssh.DockerPort} root@127.0.0.1");
    }

    [Fact(Timeout = Limit)]
    public async Task A_changed_host_key_is_an_alarm_of_its_own()
    {
        string client = await ssh.ClientAsync("betrayed", $"-o UserKnownHostsFile={await ssh.ImpostorAsync()}");
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.DockerPort, program: client));
        e.Problem.ShouldContain("the host key of 127.0.0.1 has changed");
        e.Hint.ShouldStartWith("find out why before you trust the new one");
    }

    [Fact(Timeout = Limit)]
    public async Task A_refused_key_is_told_with_how_to_give_one()
    {
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.StrangerPort));
        e.Problem.ShouldContain("ssh was not let in: root@127.0.0.1: Permission denied (publickey)");
        e.Hint.ShouldContain("authorized_keys");
    }

    [Fact(Timeout = Limit)]
    public async Task A_port_without_sshd_and_a_host_that_does_not_exist_are_told_apart()
    {
        EnvironmentException refused = await FailureAsync(ssh.Connect(1));
        refused.Problem.ShouldContain("Connection refused");
        refused.Hint.ShouldContain("sshd runs on 127.0.0.1");
        EnvironmentException unknown = await FailureAsync(SshConnection.Create(new Uri("ssh://no-such-host.invalid"), ssh.Program));
        unknown.Problem.ShouldContain("Could not resolve hostname");
        unknown.Hint.ShouldContain("host name");
    }

    [Fact(Timeout = Limit)]
    public async Task A_host_without_docker_that_forwards_nothing_has_two_cures()
    {
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.ClosedPort, engine.SocketPath));
        e.Problem.ShouldContain($"there is no docker command on 127.0.0.1, and its socket {engine.SocketPath} cannot be forwarded: ");
        e.Problem.ShouldContain("open failed");
        e.Hint.ShouldContain("install the docker client there");
        e.Hint.ShouldContain("AllowStreamLocalForwarding");
        EnvironmentException missing = await FailureAsync(ssh.Connect(ssh.BarePort, "/no/such.sock"));
        missing.Problem.ShouldContain("/no/such.sock cannot be forwarded");
    }

    [Fact(Timeout = Limit)]
    public async Task A_login_that_prints_is_shown_with_what_it_printed()
    {
        EnvironmentException e = await FailureAsync(ssh.Connect(ssh.NoisyPort));
        e.Problem.ShouldContain("this answered: Welcome");
        e.Hint.ShouldContain("must print nothing");
    }

    [Theory]
    [InlineData(1, "failed to open the raw stream connection: dial unix /var/run/docker.sock: connect: permission denied", "usermod -aG docker deploy")]
    [InlineData(1, "failed to open the raw stream connection: dial unix /var/run/docker.sock: connect: connection refused", "is the Docker engine running there?")]
    [InlineData(255, "ssh: connect to host h port 22: Connection timed out", "firewall")]
    [InlineData(255, "kex_exchange_identification: Connection closed by remote host", "ssh -o BatchMode=yes deploy@h docker version")]
    public void What_the_other_side_says_has_its_own_cure(int code, string said, string cure)
    {
        UnreachedException e = SshFailure.Of(new Uri("ssh://deploy@h"), new SshEnd(code, said), "");
        e.Message.ShouldContain(said);
        e.Hint.ShouldContain(cure);
    }

    [Fact(Timeout = Limit)]
    public async Task A_connection_that_is_cut_in_the_middle_says_so_in_sshs_words()
    {
        await using EngineScope scope = engine.NewScope();
        SourceRef volume = SourceRef.Volume(await scope.VolumeAsync("big", RawTar.OfDirectory(new TarItem("f", Content: new string('x', 64 << 20)))));
        await using DockerEnvironment environment = Open(ssh.Connect(ssh.DockerPort));
        await using ISourceHandle handle = await environment.PrepareSourceAsync(volume, "run", default);
        await using Stream tar = await handle.OpenAsync(default);
        await tar.ReadExactlyAsync(new byte[100_000]);
        // One of an earlier test may just be ending by itself.
        foreach (string pid in await SessionsAsync()) await HostProcess.RunAsync("sh", ["-c", $"kill -9 {pid} || true"]);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(async () => await tar.CopyToAsync(Stream.Null));
        e.Problem.ShouldContain("broke: ssh ended: ");
    }

    /// <summary>A terminal's Ctrl-C reaches every process of the group, ssh too, and the containers must be brought back over it.</summary>
    [Fact(Timeout = 120_000)]
    public async Task An_interrupt_of_the_whole_process_group_still_brings_the_containers_back()
    {
        await using var scope = new RunningScope(engine);
        scope.Environments[RunningScope.Local]!["connect"] = new JsonObject { ["type"] = "docker", ["url"] = $"ssh://root@127.0.0.1:{ssh.DockerPort}" };
        string volume = await scope.VolumeAsync("v", "truncate -s 3G f"); // seconds to read, nothing to write
        string user = await scope.UserAsync(volume);
        string path = $"{ssh.ProgramFolder}:{System.Environment.GetEnvironmentVariable("PATH")}";
        using RunningProgram run = BuiltProgram.StartGroup(new Dictionary<string, string> { ["BACKUP_POLICY"] = scope.WritePolicy(), ["BACKUP_STATE_DIR"] = scope.State, ["PATH"] = path }, "run");
        while (await scope.StateOfAsync(user) != "paused") run.Ended.ShouldBeFalse();
        run.SignalGroup(PosixSignal.SIGINT);
        ProgramResult result = await run.EndAsync();
        result.ExitCode.ShouldBe(130, result.ToString());
        await scope.NothingIsLeftAsync(user);
    }

    /// <summary>The processes of sshd that serve one connection each.</summary>
    private async Task<IReadOnlyList<string>> SessionsAsync()
    {
        string lines = await HostProcess.RunAsync("ps", ["-eo", "pid=,ppid=,args="]);
        string[][] all = [.. lines.Split('\n').Select(l => l.Split(' ', 3, StringSplitOptions.RemoveEmptyEntries))];
        return [.. all.Where(p => p[1] == ssh.ServerId).Select(p => p[0])];
    }
}
