using System.Security.Cryptography;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Snapshots;
using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>A real engine that is killed while it is being used.</summary>
public sealed class EngineDeathTests
{
    private static string NewDirectory() => Path.Combine(Path.GetTempPath(), "bt" + RandomNumberGenerator.GetHexString(8, lowercase: true));

    [Fact(Timeout = 120_000)]
    public async Task An_engine_that_dies_in_the_middle_of_a_read_or_a_write_is_a_plain_error_and_its_helpers_are_swept_later()
    {
        string directory = NewDirectory();
        try
        {
            string url = await EngineFixture.ScriptAsync("start", directory);
            await using var environment = new DockerEnvironment("prod", UnixSocketConnection.Create(new Uri(url)),
                new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));
            var volume = SourceRef.Volume("vol");
            await environment.CreateVolumeAsync(new VolumeFacts("vol", "local", new Dictionary<string, string>(), new Dictionary<string, string>(), "local", false), default);
            byte[] tar = RawTar.OfDirectory(new TarItem("big", Content: new string('x', 32 << 20)));
            await environment.FillAsync(volume, "run1", async (stream, cancel) => await stream.WriteAsync(tar, cancel), default);

            await using (ISourceHandle handle = await environment.PrepareSourceAsync(volume, "run1", default))
            {
                await using Stream read = await handle.OpenAsync(default);
                byte[] buffer = new byte[100_000];
                await read.ReadExactlyAsync(buffer);
                var scan = new TarScan(_ => { });
                scan.Push(buffer);
                await KillAsync(directory);
                // A body that ends with its connection may end as if it were whole; the tar does not.
                BackupException cut = await Should.ThrowAsync<BackupException>(async () =>
                {
                    for (int n; (n = await read.ReadAsync(buffer)) > 0;) scan.Push(buffer.AsSpan(0, n));
                    scan.Complete();
                });
                (cut is EnvironmentException or IncompleteTarException).ShouldBeTrue(cut.ToString());
            }
            EnvironmentException gone = await Should.ThrowAsync<EnvironmentException>(environment.InspectAsync(default));
            gone.Unreachable.ShouldBeTrue(gone.Problem);

            await EngineFixture.ScriptAsync("start", directory);
            (await environment.RemoveHelpersAsync("run1", default)).ShouldBe(1);

            await Should.ThrowAsync<EnvironmentException>(environment.FillAsync(volume, "run2", async (stream, cancel) =>
            {
                await stream.WriteAsync(tar.AsMemory(0, 1 << 20), cancel);
                await KillAsync(directory);
                for (int i = 1; i < 32; i++) await stream.WriteAsync(tar.AsMemory(i << 20, 1 << 20), cancel);
            }, default));
            await EngineFixture.ScriptAsync("start", directory);
            (await environment.RemoveHelpersAsync(null, default)).ShouldBe(1);
        }
        finally
        {
            await EngineFixture.ScriptAsync("stop", directory);
            Directory.Exists(directory).ShouldBeFalse("stop removes everything");
        }
    }

    private static async Task KillAsync(string directory)
    {
        string pid = File.ReadAllText(Path.Combine(directory, "dockerd.pid")).Trim();
        await HostProcess.RunAsync("kill", ["-9", pid]);
        // One that ended may stay in the table of processes until somebody collects it, but without a command line.
        try
        {
            while ((await File.ReadAllTextAsync($"/proc/{pid}/cmdline")).Length > 0) await Task.Delay(20);
        }
        catch (IOException)
        {
            // collected
        }
    }
}
