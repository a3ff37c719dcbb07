using Backup.Environments.Connections;
using Backup.Policies;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>
/// A real Docker engine for all tests of the collection "engine": the one in $BACKUP_TEST_ENGINE (a <c>unix://</c> URL, with $BACKUP_TEST_ENGINE_TLS_DIR
/// beside it), else a private one started by tests/engine.sh and ended with the collection.
/// </summary>
public sealed class EngineFixture : IAsyncLifetime
{
    private string? _own;

    /// <summary>Such as <c>unix:///tmp/x/docker.sock</c>.</summary>
    public string Url { get; private set; } = "";

    /// <summary>Holds url, ca.pem, cert.pem and key.pem.</summary>
    public string TlsDirectory { get; private set; } = "";

    public string SocketPath => Url["unix://".Length..];
    public string TlsUrl => File.ReadAllText(Path.Combine(TlsDirectory, "url")).Trim();
    public TlsPolicy Tls => new(TlsFile("ca.pem"), TlsFile("cert.pem"), new Secret("file:" + TlsFile("key.pem"), "$.tls.key"));
    public static string Repository { get; } = FindRepository();

    public async Task InitializeAsync()
    {
        if (Environment.GetEnvironmentVariable("BACKUP_TEST_ENGINE") is { Length: > 0 } given)
        {
            Url = given;
            TlsDirectory = Environment.GetEnvironmentVariable("BACKUP_TEST_ENGINE_TLS_DIR")
                ?? throw new InvalidOperationException("BACKUP_TEST_ENGINE is set, BACKUP_TEST_ENGINE_TLS_DIR is not");
            return;
        }
        _own = Path.Combine(Path.GetTempPath(), $"bt-engine-{Environment.ProcessId}");
        Url = await ScriptAsync("start", _own, "--tls");
        TlsDirectory = Path.Combine(_own, "tls");
    }

    /// <summary>An engine of one test's own, in a short directory, for tests that kill it or need a second host.</summary>
    /// <param name="netns">It lives in a network namespace of this name, at most 10 characters; null = in this host's.</param>
    public static async Task<EngineFixture> OwnAsync(string directory, string? netns = null) =>
        new() { _own = directory, Url = await ScriptAsync(netns is null ? ["start", directory] : ["start", directory, "--netns", netns]) };

    /// <summary>Of the network namespace that it lives in, as this host reaches it.</summary>
    public string Address => File.ReadAllText(Path.Combine(_own!, "address")).Trim();

    public async Task DisposeAsync()
    {
        if (_own is not null) await ScriptAsync("stop", _own);
    }

    public DockerConnection UnixConnection() => UnixSocketConnection.Create(new Uri(Url));

    public DockerConnection TlsConnection() => TcpConnection.Create(new Uri(TlsUrl), Tls);

    /// <summary>Names, volumes, containers and images of one test, removed with it.</summary>
    public EngineScope NewScope() => new(this);

    /// <summary>Starts or stops an engine of a test's own, for tests that kill it.</summary>
    public static Task<string> ScriptAsync(params string[] arguments) =>
        HostProcess.RunAsync("bash", [Path.Combine(Repository, "tests", "engine.sh"), .. arguments], TimeSpan.FromMinutes(2));

    private string TlsFile(string name) => Path.Combine(TlsDirectory, name);

    private static string FindRepository()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
            if (File.Exists(Path.Combine(at.FullName, "Backup.sln"))) return at.FullName;
        throw new InvalidOperationException("the tests do not run inside the repository");
    }
}

[CollectionDefinition("engine")]
public sealed class EngineCollection : ICollectionFixture<EngineFixture>;
