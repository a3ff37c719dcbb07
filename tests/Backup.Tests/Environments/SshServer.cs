using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Backup.Environments.Connections;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>
/// A real sshd on loopback with keys of its own, one port for each kind of host. The ssh client is the host's, told of these keys by a script of the
/// same name: it knows no $HOME but the account's.
/// </summary>
public sealed class SshServer : IAsyncLifetime
{
    private static readonly string[] Kinds = ["docker", "bare", "closed", "stranger", "noisy"];

    private readonly string _folder = Directory.CreateTempSubdirectory("bt-ssh-").FullName;
    private readonly Dictionary<string, int> _ports = [];
    private readonly List<string> _log = [];
    private Process? _server;

    /// <summary>The folder to put before others in $PATH.</summary>
    public string ProgramFolder => Path.Combine(_folder, "bin");
    public string Program => Path.Combine(ProgramFolder, "ssh");

    /// <summary>Has a docker client, which finds the engine by itself.</summary>
    public int DockerPort => _ports["docker"];
    /// <summary>Has no program at all.</summary>
    public int BarePort => _ports["bare"];
    /// <summary>Has no program and forwards nothing.</summary>
    public int ClosedPort => _ports["closed"];
    /// <summary>Knows no key of ours.</summary>
    public int StrangerPort => _ports["stranger"];
    /// <summary>Greets whoever logs in.</summary>
    public int NoisyPort => _ports["noisy"];

    /// <summary>Of the listening process.</summary>
    public string ServerId => _server!.Id.ToString(System.Globalization.CultureInfo.InvariantCulture);

    public Task InitializeAsync() => Task.CompletedTask;

    /// <param name="engineUrl">The engine of the host with a docker client.</param>
    public async Task StartAsync(string engineUrl)
    {
        if (_server is not null) return;
        foreach (string key in new[] { "host", "user", "other" }) await HostProcess.RunAsync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", File(key)]);
        foreach (string kind in Kinds) _ports[kind] = FreePort();
        string bare = "SetEnv PATH=/nowhere";
        await Write("sshd_config", $"""
            {string.Join('\n', _ports.Values.Select(p => $"Port {p}"))}
            ListenAddress 127.0.0.1
            HostKey {File("host")}
            PidFile none
            AuthorizedKeysFile {File("user.pub")}
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            MaxStartups 100
            LogLevel ERROR
            Match LocalPort {DockerPort}
              SetEnv DOCKER_HOST={engineUrl}
            Match LocalPort {BarePort}
              {bare}
            Match LocalPort {ClosedPort}
              {bare}
              AllowStreamLocalForwarding no
            Match LocalPort {StrangerPort}
              AuthorizedKeysFile {File("other.pub")}
            Match LocalPort {NoisyPort}
              ForceCommand echo Welcome

            """);
        string hostKey = await System.IO.File.ReadAllTextAsync(File("host.pub"));
        await Write("known", string.Concat(_ports.Values.Select(p => $"[127.0.0.1]:{p} {hostKey}")));
        await Write("config", $"""
            Host *
              IdentityFile {File("user")}
              IdentitiesOnly yes
              UserKnownHostsFile {File("known")}
              GlobalKnownHostsFile /dev/null

            """);
        Directory.CreateDirectory(ProgramFolder);
        await ClientAsync(Program, "");
        // Where sshd, the one of the machine included, gives up its rights.
        Directory.CreateDirectory("/run/sshd");
        string program = new[] { "/usr/sbin/sshd", "/usr/local/sbin/sshd" }.FirstOrDefault(System.IO.File.Exists)
            ?? throw new InvalidOperationException("these tests need sshd: apt-get install openssh-server");
        _server = Process.Start(new ProcessStartInfo(program, ["-D", "-e", "-f", File("sshd_config")]) { RedirectStandardError = true })!;
        _server.ErrorDataReceived += (_, line) => { lock (_log) _log.Add(line.Data ?? ""); };
        _server.BeginErrorReadLine();
        foreach (int port in _ports.Values) await ListensAsync(port);
    }

    /// <summary>A client that is told more than the usual one. Returns its path.</summary>
    public async Task<string> ClientAsync(string name, string options)
    {
        string script = Path.Combine(_folder, name);
        await System.IO.File.WriteAllTextAsync(script, $"#!/bin/sh\nexec /usr/bin/ssh -F '{File("config")}' {options} \"$@\"\n");
        System.IO.File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return script;
    }

    public DockerConnection Connect(int port, string path = "", string? program = null) =>
        SshConnection.Create(new Uri($"ssh://root@127.0.0.1:{port}{path}"), program ?? Program);

    /// <summary>A file of known hosts in which the host has another key.</summary>
    public async Task<string> ImpostorAsync()
    {
        await Write("impostor", $"[127.0.0.1]:{DockerPort} {await System.IO.File.ReadAllTextAsync(File("other.pub"))}");
        return File("impostor");
    }

    /// <summary>The ssh clients of this server that run now, by their command lines.</summary>
    public IReadOnlyList<string> Clients()
    {
        var found = new List<string>();
        foreach (string process in Directory.EnumerateDirectories("/proc").Where(d => char.IsAsciiDigit(Path.GetFileName(d)[0])))
        {
            try
            {
                string line = System.IO.File.ReadAllText(Path.Combine(process, "cmdline")).Replace('\0', ' ');
                if (line.Contains(File("config"), StringComparison.Ordinal)) found.Add(line);
            }
            catch (IOException)
            {
                // It ended meanwhile.
            }
        }
        return found;
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
        {
            _server.Kill(entireProcessTree: true);
            await _server.WaitForExitAsync();
            _server.Dispose();
        }
        Directory.Delete(_folder, recursive: true);
    }

    private async Task ListensAsync(int port)
    {
        while (true)
        {
            using var probe = new TcpClient();
            try
            {
                await probe.ConnectAsync(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException)
            {
                lock (_log)
                    if (_server!.HasExited) throw new InvalidOperationException($"sshd did not start: {string.Join(' ', _log)}");
                await Task.Delay(20);
            }
        }
    }

    private string File(string name) => Path.Combine(_folder, name);

    private Task Write(string name, string text) => System.IO.File.WriteAllTextAsync(File(name), text);

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
