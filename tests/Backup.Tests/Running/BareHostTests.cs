using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>A host that has never seen the volume, with nothing but the bucket and the keys.</summary>
[Collection("engine")]
public sealed class BareHostTests(EngineFixture engine, S3Fixture s3) : IClassFixture<S3Fixture>, IAsyncLifetime
{
    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = 120_000)]
    public async Task A_volume_is_restored_with_its_driver_options_and_labels_from_bucket_and_keys_alone()
    {
        string disk = _scope.Engine.Folder("disk");
        string volume = await _scope.Engine.VolumeAsync("v", options: new Dictionary<string, string> { ["type"] = "none", ["o"] = "bind", ["device"] = disk });
        await HostProcess.RunAsync("bash", ["-euc", $"cd '{disk}'; mkdir d; echo 1 > d/f; head -c 6000000 /dev/urandom > r"]);
        string sums = await HostProcess.RunAsync("bash", ["-euc", $"cd '{disk}'; sha256sum d/f r"]);
        await _scope.UserAsync(volume);
        _scope.UseS3(await s3.CephAsync());
        await _scope.RunWellAsync();
        // The new host has an empty disk in the same place.
        await HostProcess.RunAsync("bash", ["-euc", $"rm -rf '{disk}'/*"]);

        string directory = Path.Combine(Path.GetTempPath(), "bt-bare-" + Environment.ProcessId);
        EngineFixture own = await EngineFixture.OwnAsync(directory);
        try
        {
            var bare = new RunningScope(own);
            bare.Stores.Clear();
            bare.Stores["bucket"] = _scope.Stores["s3"]!.DeepClone();
            bare.Defaults["store"] = "bucket";
            bare.Environments.Remove(RunningScope.Local);
            bare.Environments["newhost"] = bare.Environment(own.Url);
            ProgramResult list = await bare.ProgramAsync("snapshots", "--json");
            ((string)JsonNode.Parse(list.Output)!.AsArray().ShouldHaveSingleItem()!["volume"]!).ShouldBe(volume);

            ProgramResult restore = await bare.ProgramAsync("restore", $"{RunningScope.Local}/{volume}", "--to", "newhost");

            restore.ExitCode.ShouldBe(0, restore.ToString());
            (await HostProcess.RunAsync("bash", ["-euc", $"cd '{disk}'; sha256sum d/f r"])).ShouldBe(sums);
            await using DockerEnvironment there = bare.Engine.NewEnvironment(own.UnixConnection(), "there");
            VolumeFacts made = (await there.InspectAsync(default)).Volumes.ShouldHaveSingleItem();
            made.Name.ShouldBe(volume);
            made.Options["device"].ShouldBe(disk);
            made.Labels["backup.test"].ShouldBe(_scope.Engine.Prefix);
            await bare.NothingIsLeftAsync();
            await bare.DisposeAsync();
        }
        finally
        {
            await own.DisposeAsync();
        }
    }
}
