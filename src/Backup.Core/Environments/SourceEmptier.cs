using System.Net;

namespace Backup.Environments;

/// <summary>Empties a source before a restore: there is no call for it in the engine's API.</summary>
internal sealed class SourceEmptier(DockerApi api, HelperContainers helpers, SourceMounts mounts, BorrowedImages images, RunContext context)
{
    private static readonly string[][] Removers = [["rm", "find"]];

    private static readonly TimeSpan FirstPoll = TimeSpan.FromMilliseconds(50), LastPoll = TimeSpan.FromSeconds(2);

    /// <summary>One way to do it.</summary>
    private abstract record Way(string Words)
    {
        /// <summary>Nothing to do: the source is a file, which a restore replaces, or holds nothing.</summary>
        internal sealed record Nothing(string Words) : Way(Words);

        internal sealed record Recreate(VolumeAnswer Volume) : Way($"volume {Volume.Name} is removed and created again; no container references it");

        internal sealed record Shell(BorrowedImage Image, string Script, string Tool)
            : Way($"a helper container that borrows {Image.Shell} and {Tool} from image {Image.Name}, already on the host, removes the content");
    }

    internal async Task<string> PlanAsync(SourceRef target, string runId, CancellationToken cancel)
    {
        await foreach (Way way in WaysAsync(target, runId, cancel).ConfigureAwait(false)) return way.Words;
        throw Refusal(target, "no image on the host has both a shell and rm or find");
    }

    internal async Task EmptyAsync(SourceRef target, string runId, CancellationToken cancel)
    {
        string? last = null;
        await foreach (Way way in WaysAsync(target, runId, cancel).ConfigureAwait(false))
        {
            switch (way)
            {
                case Way.Nothing:
                    return;
                case Way.Recreate recreate:
                    await RecreateAsync(recreate.Volume, cancel).ConfigureAwait(false);
                    break;
                case Way.Shell shell:
                    // What is wrong with one image (another architecture, a broken loader) need not be with the next.
                    if (await RunAsync(target, shell, runId, cancel).ConfigureAwait(false) is not { } problem) break;
                    last = $"the helper over image {shell.Image.Name} failed: {problem}";
                    continue;
            }
            if (!await IsEmptyAsync(target, runId, cancel).ConfigureAwait(false))
                throw new EnvironmentException(api.Http.Environment, $"{target} still holds something after it was emptied ({way.Words})",
                    "a container may be writing to it; stop what uses it and try again");
            return;
        }
        throw Refusal(target, last ?? "no image on the host has both a shell and rm or find");
    }

    private EnvironmentException Refusal(SourceRef target, string why) => new(api.Http.Environment, $"cannot empty {target}: {why}",
        target.Kind == SourceKind.Volume
            ? "remove the containers that use it, so that the volume can be re-created, or load an image with a shell on that host, such as: docker pull busybox"
            : "empty the directory on the host by hand, or load an image with a shell on that host, such as: docker pull busybox");

    private async IAsyncEnumerable<Way> WaysAsync(
        SourceRef target, string runId, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        MountedSource mounted = await mounts.MountAsync(target, true, runId, cancel).ConfigureAwait(false)
            ?? throw DockerEnvironment.Missing(api.Http.Environment, target);
        await helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
        if (!mounted.IsDirectory)
        {
            yield return new Way.Nothing($"{target} is a file, which is replaced as a whole");
            yield break;
        }
        if (await IsEmptyAsync(target, runId, cancel).ConfigureAwait(false))
        {
            yield return new Way.Nothing($"{target} is empty already");
            yield break;
        }
        bool used = (await api.ContainersAsync(cancel).ConfigureAwait(false)).Any(c => BorrowedImages.Uses(c, target));
        VolumeAnswer? plain = target.Kind == SourceKind.Volume && !used
            && await api.FindVolumeAsync(target.Name, cancel).ConfigureAwait(false) is { Driver: "local", Options: null or { Count: 0 } } volume ? volume : null;
        Route route = await api.Http.RouteAsync(cancel).ConfigureAwait(false);
        if (plain is not null && !route.ThroughServer)
        {
            yield return new Way.Recreate(plain);
            yield break;
        }
        await foreach (BorrowedImage image in images.WithAsync(target, runId, Removers, cancel).ConfigureAwait(false)) yield return ShellWay(image);
        // Portainer forgets who may use a volume that is removed, and writes down its maker for a new one: the last resort, and only where that changes nothing.
        if (plain is not null && (plain.Portainer?.ResourceControl is not { } record || record.IsOnlyFor(route.PortainerUser))) yield return new Way.Recreate(plain);
    }

    private async Task RecreateAsync(VolumeAnswer volume, CancellationToken cancel)
    {
        await api.DeleteVolumeAsync(volume.Name, cancel).ConfigureAwait(false);
        // From here on the volume must come back, whatever is cancelled meanwhile; short calls end by themselves.
        VolumeFacts facts = InventoryReader.Facts(volume);
        await api.CreateVolumeAsync(new VolumeRequest(facts.Name, facts.Driver, facts.Options, facts.Labels), CancellationToken.None).ConfigureAwait(false);
    }

    // ---- a borrowed shell

    private static Way.Shell ShellWay(BorrowedImage image)
    {
        // rm by name of the directory: no argument list that could grow too long. It cannot remove the mount point itself, so its exit code
        // says nothing; what is left does.
        if (image.Programs.TryGetValue("rm", out string? rm))
            return new Way.Shell(image, $"""
                {rm} -rf {HelperContainers.Root}
                for f in {HelperContainers.Root}/* {HelperContainers.Root}/.[!.]* {HelperContainers.Root}/..?*; do
                  if [ -e "$f" ] || [ -L "$f" ]; then exit 1; fi
                done
                exit 0
                """, rm);
        string find = image.Programs["find"];
        return new Way.Shell(image, $"cd {HelperContainers.Root} && exec {find} . -mindepth 1 -delete", find);
    }

    /// <summary>Runs the script over the source; null when it went well, else what was wrong.</summary>
    private async Task<string?> RunAsync(SourceRef target, Way.Shell shell, string runId, CancellationToken cancel)
    {
        MountRequest mount = target.Kind == SourceKind.Volume
            ? HelperContainers.Mount(target.Name, false, runId)
            : new MountRequest("bind", target.Name, HelperContainers.Root, false);
        var host = new HostConfigRequest([mount], new LogConfigRequest("json-file", new Dictionary<string, string> { ["max-size"] = "1m" }));
        var request = new ContainerRequest(shell.Image.Id, ["-c", shell.Script], HelperContainers.Labels(runId), host, [shell.Image.Shell], "0:0");
        string helper = await helpers.CreateAsync(runId, request, cancel).ConfigureAwait(false);
        try
        {
            await api.ContainerVerbAsync(helper, "start", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
            ContainerState state = await EndAsync(helper, cancel).ConfigureAwait(false);
            if (state is { ExitCode: 0, Error: null or "" }) return null;
            ExecOutput log = await api.LogsAsync(helper, cancel).ConfigureAwait(false);
            string said = string.Join(" ", (log.Error + log.Output).Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(3));
            return said.Length > 0 ? said : state.Error is { Length: > 0 } error ? error : $"exit code {state.ExitCode}";
        }
        catch (EngineRefusalException e)
        {
            return e.Problem;
        }
        finally
        {
            await helpers.RemoveAsync(helper).ConfigureAwait(false);
        }
    }

    /// <summary>Polls rather than waits: a long answer without a byte dies in proxies.</summary>
    private async Task<ContainerState> EndAsync(string helper, CancellationToken cancel)
    {
        for (TimeSpan pause = FirstPoll; ; pause = pause * 2 < LastPoll ? pause * 2 : LastPoll)
        {
            ContainerAnswer? now = await api.FindContainerAsync(helper, cancel).ConfigureAwait(false);
            if (now?.State is not { } state)
                throw new EnvironmentException(api.Http.Environment, "the helper container was removed while it worked", "try again");
            if (state.Status is "exited" or "dead") return state;
            await Task.Delay(pause, context.Time, cancel).ConfigureAwait(false);
        }
    }

    // ---- the proof

    /// <summary>True when a directory holds nothing but its root; a file is never empty in this sense.</summary>
    internal async Task<bool> IsEmptyAsync(SourceRef source, string runId, CancellationToken cancel)
    {
        MountedSource mounted = await mounts.MountAsync(source, true, runId, cancel).ConfigureAwait(false)
            ?? throw DockerEnvironment.Missing(api.Http.Environment, source);
        await using var handle = new SourceHandle(api, helpers, source, mounted);
        return mounted.IsDirectory && (await TarHead.HoldsOnlyRootAsync(await handle.OpenAsync(cancel).ConfigureAwait(false), cancel).ConfigureAwait(false)
            ?? throw new EnvironmentException(api.Http.Environment, $"cannot look into {source}: the engine's answer ended too early", "try again"));
    }
}
