using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Backup.Policies;
using Backup.Stores;
using Backup.Stores.S3;
using Backup.Tests.Fakes;
using Xunit;

namespace Backup.Tests.Stores;

[CollectionDefinition("s3")]
public sealed class S3Collection : ICollectionFixture<S3Fixture>;

/// <summary>
/// Real S3 servers on loopback: those that tests/run.sh started (BACKUP_TEST_S3_CEPH, …_CEPH_OLD, …_SWIFT hold their URLs), else own ones, started by
/// tests/s3-servers when a test first asks and stopped at the end.
/// </summary>
public sealed class S3Fixture : IAsyncLifetime
{
    private readonly List<string[]> _started = [];
    private readonly string _folder = Directory.CreateTempSubdirectory("backup-s3-").FullName;
    private readonly Lazy<Task<S3Server>> _ceph, _cephOld, _swift;

    public S3Fixture()
    {
        _ceph = new(() => ServerAsync(S3Provider.Ceph, "BACKUP_TEST_S3_CEPH", "testkey", "start-ceph-rgw.sh", "--suite", "trixie"));
        _cephOld = new(() => ServerAsync(S3Provider.Ceph, "BACKUP_TEST_S3_CEPH_OLD", "testkey", "start-ceph-rgw.sh", "--suite", "bookworm"));
        _swift = new(() => ServerAsync(S3Provider.Generic, "BACKUP_TEST_S3_SWIFT", "test:tester", "start-swift.sh"));
    }

    public Task<S3Server> CephAsync() => _ceph.Value;
    public Task<S3Server> CephOldAsync() => _cephOld.Value;
    public Task<S3Server> SwiftAsync() => _swift.Value;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (string[] command in _started) await RunAsync([.. command, "--stop"]);
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<S3Server> ServerAsync(S3Provider provider, string variable, string accessKey, string script, params string[] options)
    {
        Environment.SetEnvironmentVariable($"{variable}_KEY", accessKey);
        Environment.SetEnvironmentVariable($"{variable}_SECRET", "testsecret");
        if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } url) return new S3Server(provider, new Uri(url), variable);
        int port = FreePort();
        string[] command = ["bash", Path.Combine(Scripts(), script), .. options, "--port", $"{port}", "--data", Path.Combine(_folder, variable)];
        lock (_started) _started.Add(command);
        string output = await RunAsync(command);
        if (output.Contains("ready", StringComparison.Ordinal)) return new S3Server(provider, new Uri($"http://127.0.0.1:{port}"), variable);
        string problem = $"{script} did not start a server: {output}";
        throw new InvalidOperationException(Environment.GetEnvironmentVariable("BACKUP_TEST_DISALLOW_SKIP") == "1" ? problem : "$XunitDynamicSkip$" + problem);
    }

    /// <summary>The scripts wait for a server to answer; a stuck one fails the test by its own time-out.</summary>
    private static async Task<string> RunAsync(string[] command)
    {
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        // the servers inherit standard error, so its end never comes: lines are gathered until the script itself ends
        var lines = new List<string>();
        process.OutputDataReceived += (_, e) => { lock (lines) lines.Add(e.Data ?? ""); };
        process.ErrorDataReceived += (_, e) => { lock (lines) lines.Add(e.Data ?? ""); };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        while (!process.HasExited) await Task.Delay(50);
        await Task.Delay(100);
        lock (lines) return string.Join('\n', lines).Trim();
    }

    private static string Scripts()
    {
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
            if (Directory.Exists(Path.Combine(folder, "tests", "s3-servers"))) return Path.Combine(folder, "tests", "s3-servers");
        throw new DirectoryNotFoundException("tests/s3-servers is not above the test program");
    }

    /// <summary>Four in a row, because Swift takes the three after it too.</summary>
    private static int FreePort()
    {
        for (int port = Random.Shared.Next(20_000, 28_000); ; port += 4)
        {
            try
            {
                for (int i = 0; i < 4; i++)
                {
                    using var listener = new TcpListener(IPAddress.Loopback, port + i);
                    listener.Start();
                }
                return port;
            }
            catch (SocketException)
            {
                // taken: the next four
            }
        }
    }
}

/// <summary>A running server with a bucket named <c>test</c>.</summary>
public sealed record S3Server(S3Provider Provider, Uri Url, string Variable)
{
    public const long SmallPart = 5 << 20;

    /// <summary>A store's settings under a prefix that nobody else uses.</summary>
    public S3StorePolicy Policy(Uri? endpoint = null) => new("s3", Provider, "us-east-1", "test", $"t/{Guid.NewGuid():n}", endpoint ?? Url, S3Addressing.Path,
        new Secret($"env:{Variable}_KEY", "$.stores.s3.accessKeyId"), new Secret($"env:{Variable}_SECRET", "$.stores.s3.secretAccessKey"), SmallPart, null, null);

    internal S3ObjectStore Open(RecordingContext? context = null, S3Tuning? tuning = null, Uri? endpoint = null) =>
        new(Policy(endpoint), (context ?? new RecordingContext()).Run, tuning ?? S3Tuning.Default);
}
