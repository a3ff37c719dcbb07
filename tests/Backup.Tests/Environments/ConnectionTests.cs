using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>What a user reads when an engine cannot be reached.</summary>
[Collection("engine")]
public sealed class ConnectionTests(EngineFixture engine)
{
    private const int Limit = 30_000;

    private static DockerEnvironment Open(DockerConnection connection) =>
        new("prod", connection, new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));

    private static async Task<EnvironmentException> FailureAsync(DockerConnection connection)
    {
        await using DockerEnvironment environment = Open(connection);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
        e.Environment.ShouldBe("prod");
        return e;
    }

    [Fact(Timeout = Limit)]
    public async Task A_socket_that_is_not_there_is_unreachable()
    {
        EnvironmentException e = await FailureAsync(DockerConnection.For(new DockerConnectPolicy(new Uri("unix:///no/such/docker.sock"), null)));
        e.Unreachable.ShouldBeTrue();
        e.Problem.ShouldBe("cannot reach environment prod at unix:///no/such/docker.sock: there is no such socket");
        e.Hint.ShouldContain("is the Docker engine running?");
    }

    [Fact(Timeout = Limit)]
    public async Task A_socket_that_nobody_listens_on_is_unreachable()
    {
        string path = Path.Combine(Path.GetTempPath(), $"bt-{Guid.NewGuid():n}.sock");
        try
        {
            using (var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) socket.Bind(new UnixDomainSocketEndPoint(path));
            if (!File.Exists(path)) await File.WriteAllTextAsync(path, "");
            EnvironmentException e = await FailureAsync(UnixSocketConnection.Create(new Uri("unix://" + path)));
            e.Unreachable.ShouldBeTrue();
            e.Problem.ShouldContain("the connection was refused");
            e.Hint.ShouldContain("is the Docker engine running?");
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_port_that_nobody_listens_on_is_unreachable()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        int port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri($"tcp://127.0.0.1:{port}"), null));
        e.Unreachable.ShouldBeTrue();
        e.Problem.ShouldContain($"tcp://127.0.0.1:{port}: the connection was refused");
    }

    [Fact(Timeout = Limit)]
    public async Task A_host_name_that_does_not_exist_is_unreachable()
    {
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri("tcp://no-such-host.invalid:2375"), null));
        e.Unreachable.ShouldBeTrue();
        e.Hint.ShouldContain("host name");
    }

    [Fact(Timeout = Limit)]
    public async Task The_engine_answers_over_TLS_with_both_certificates()
    {
        await using DockerEnvironment environment = Open(DockerConnection.For(new DockerConnectPolicy(new Uri(engine.TlsUrl), engine.Tls)));
        (await environment.InspectAsync(default)).Engine.Id.ShouldNotBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_missing_client_certificate_is_named_as_the_cause()
    {
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri(engine.TlsUrl), engine.Tls with { Cert = null, Key = null }));
        e.Unreachable.ShouldBeTrue(e.Problem);
        e.Hint.ShouldContain("client certificate");
    }

    [Fact(Timeout = Limit)]
    public async Task A_client_certificate_of_another_authority_is_refused()
    {
        using var folder = new TemporaryFolder();
        (string cert, string key) = SelfSigned(folder.Path);
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri(engine.TlsUrl), engine.Tls with { Cert = cert, Key = new Secret("file:" + key, "$") }));
        e.Unreachable.ShouldBeTrue(e.Problem);
        e.Hint.ShouldContain("client certificate");
    }

    [Fact(Timeout = Limit)]
    public async Task An_engine_of_another_authority_is_not_trusted()
    {
        using var folder = new TemporaryFolder();
        (string other, _) = SelfSigned(folder.Path);
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri(engine.TlsUrl), engine.Tls with { Ca = other }));
        e.Unreachable.ShouldBeTrue(e.Problem);
        e.Problem.ShouldContain("TLS with the engine failed");
        e.Hint.ShouldContain("CA");
        // Without a CA of its own it is the system's that must know the engine.
        (await FailureAsync(TcpConnection.Create(new Uri(engine.TlsUrl), engine.Tls with { Ca = null }))).Problem.ShouldContain("TLS with the engine failed");
    }

    [Fact(Timeout = Limit)]
    public async Task A_certificate_for_another_host_name_is_not_trusted()
    {
        string url = engine.TlsUrl.Replace("127.0.0.1", "127.0.0.2");
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri(url), engine.Tls));
        e.Unreachable.ShouldBeTrue(e.Problem);
    }

    [Fact(Timeout = Limit)]
    public async Task Plain_TCP_to_a_TLS_port_says_what_came_back()
    {
        EnvironmentException e = await FailureAsync(TcpConnection.Create(new Uri(engine.TlsUrl), null));
        e.Problem.ShouldContain("HTTPS");
    }

    [Fact]
    public void Certificates_that_cannot_be_used_are_named_before_anything_is_opened()
    {
        using var folder = new TemporaryFolder();
        string garbage = Path.Combine(folder.Path, "garbage.pem");
        File.WriteAllText(garbage, "this is no certificate");
        var url = new Uri("tcp://127.0.0.1:1");
        Should.Throw<BackupException>(() => TcpConnection.Create(url, engine.Tls with { Ca = "/no/such/ca.pem" })).Problem.ShouldContain("/no/such/ca.pem");
        Should.Throw<BackupException>(() => TcpConnection.Create(url, engine.Tls with { Ca = garbage })).Problem.ShouldContain(garbage);
        BackupException e = Should.Throw<BackupException>(() => TcpConnection.Create(url, engine.Tls with { Cert = garbage }));
        e.Problem.ShouldContain(garbage);
        e.Kind.ShouldBe(FailureKind.Usage);
        (string cert, _) = SelfSigned(folder.Path);
        Should.Throw<BackupException>(() => TcpConnection.Create(url, engine.Tls with { Cert = cert })).Problem.ShouldContain("does not go with its key");
    }

    [Fact]
    public void An_unknown_scheme_is_a_mistake_in_the_policy() =>
        Should.Throw<BackupException>(() => DockerConnection.For(new DockerConnectPolicy(new Uri("npipe://host"), null))).Kind.ShouldBe(FailureKind.Usage);

    private static (string Cert, string Key) SelfSigned(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=stranger", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        string cert = Path.Combine(folder, "stranger.pem"), keyFile = Path.Combine(folder, "stranger-key.pem");
        File.WriteAllText(cert, made.ExportCertificatePem());
        File.WriteAllText(keyFile, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(keyFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return (cert, keyFile);
    }

    private sealed class TemporaryFolder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("bt-tls-").FullName;
        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
