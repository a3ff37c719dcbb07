using System.Net;

namespace Backup.Environments;

/// <summary>A source mounted in a helper that was never started.</summary>
/// <param name="Path">Of the source inside the helper.</param>
internal sealed record MountedSource(string Helper, string Path, bool IsDirectory);

/// <summary>Mounts volumes and host paths in helpers, and knows what the engine does with those that are not there.</summary>
internal sealed class SourceMounts(DockerApi api, HelperContainers helpers)
{
    /// <summary>Null when the source is not there. The caller removes the helper.</summary>
    internal Task<MountedSource?> MountAsync(SourceRef source, bool readOnly, string runId, CancellationToken cancel) =>
        source.Kind == SourceKind.Volume ? MountVolumeAsync(source.Name, readOnly, runId, cancel) : MountBindAsync(source.Name, readOnly, runId, cancel);

    /// <summary>Mounts a host directory, which the engine creates, with its parents, where it is missing.</summary>
    internal async Task<MountedSource> MountCreatedAsync(string directory, string runId, CancellationToken cancel)
    {
        HostConfigRequest host = HelperContainers.Host() with { Binds = [$"{directory}:{HelperContainers.Root}"] };
        return new MountedSource(await helpers.CreateAsync(runId, host, cancel).ConfigureAwait(false), HelperContainers.Root, true);
    }

    private async Task<MountedSource?> MountVolumeAsync(string volume, bool readOnly, string runId, CancellationToken cancel)
    {
        if (await api.FindVolumeAsync(volume, cancel).ConfigureAwait(false) is null) return null;
        HostConfigRequest host = HelperContainers.Host(HelperContainers.Mount(volume, readOnly, runId));
        string helper = await helpers.CreateAsync(runId, host, cancel).ConfigureAwait(false);
        return await GuardAsync(helper, async () =>
        {
            VolumeAnswer? now = await api.FindVolumeAsync(volume, cancel).ConfigureAwait(false);
            if (now is not null && !HelperContainers.WasMadeByUs(now)) return new MountedSource(helper, HelperContainers.Root, true);
            await helpers.RemoveAsync(helper).ConfigureAwait(false);
            if (now is not null) await api.DeleteVolumeAsync(volume, CancellationToken.None).ConfigureAwait(false);
            return null;
        }).ConfigureAwait(false);
    }

    /// <summary>For reading it is mounted under its own name, so that the tar of a file has that name in it. A link is followed by the mount.</summary>
    private async Task<MountedSource?> MountBindAsync(string path, bool readOnly, string runId, CancellationToken cancel)
    {
        string name = Path.GetFileName(path);
        string target = $"{HelperContainers.Root}/{(readOnly && name.Length > 0 ? name : "root")}";
        string helper;
        try
        {
            HostConfigRequest host = HelperContainers.Host(new MountRequest("bind", path, target, readOnly));
            helper = await helpers.CreateAsync(runId, host, cancel).ConfigureAwait(false);
        }
        catch (EngineRefusalException e) when (e.Status is HttpStatusCode.BadRequest or HttpStatusCode.InternalServerError && SaysMissing(e.Problem))
        {
            return null;
        }
        return await GuardAsync(helper, async () =>
        {
            PathStat? stat = await api.StatAsync(helper, target, cancel).ConfigureAwait(false);
            if (stat is not null) return new MountedSource(helper, target, stat.IsDirectory);
            await helpers.RemoveAsync(helper).ConfigureAwait(false);
            return null;
        }).ConfigureAwait(false);
    }

    private static bool SaysMissing(string problem) =>
        problem.Contains("does not exist", StringComparison.OrdinalIgnoreCase) || problem.Contains("no such file", StringComparison.OrdinalIgnoreCase);

    private async Task<T> GuardAsync<T>(string helper, Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch
        {
            await helpers.RemoveAsync(helper).ConfigureAwait(false);
            throw;
        }
    }
}
