using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using Backup.Environments.Connections;
using Backup.Environments.Pieces;

namespace Backup.Environments;

/// <summary>A Docker engine by its own API. Volumes are read and written through helper containers that are never started.</summary>
public sealed class DockerEnvironment : IEnvironment
{
    /// <summary>Added to the time that a container may take to stop.</summary>
    private static readonly TimeSpan StopMargin = TimeSpan.FromSeconds(60);

    private const int EngineStopTimeout = 10;

    /// <summary>Enough of a tar for its root entry with extended headers.</summary>
    private const int HeadSize = 64 * 1024;

    private readonly DockerApi _api;
    private readonly RunContext _context;
    private readonly HelperContainers _helpers;
    private readonly InventoryReader _inventory;
    private readonly SourceMounts _mounts;
    private readonly BorrowedImages _images;
    private readonly SourceEmptier _emptier;
    private readonly SwarmServices _services;

    /// <param name="connection">Is disposed with the environment. Nothing is opened before the first call.</param>
    public DockerEnvironment(string name, DockerConnection connection, RunContext context) : this(new DockerApi(name, connection, context.Time), name, context)
    {
    }

    internal DockerEnvironment(DockerApi api, string name, RunContext context)
    {
        Name = name;
        _api = api;
        _context = context;
        _helpers = new HelperContainers(_api, context);
        _services = new SwarmServices(_api, context);
        _inventory = new InventoryReader(_api, _services);
        _mounts = new SourceMounts(_api, _helpers);
        _images = new BorrowedImages(_api, _helpers);
        _emptier = new SourceEmptier(_api, _helpers, _mounts, _images, context);
    }

    public string Name { get; }

    internal DockerApi Api => _api;

    public Task<Inventory> InspectAsync(CancellationToken cancel) => _inventory.ReadAsync(cancel);

    public Task<IReadOnlyList<ContainerSight>> ListContainersAsync(CancellationToken cancel) => _inventory.SightsAsync(cancel);

    public Task<ContainerFacts?> FindContainerAsync(string idOrName, CancellationToken cancel) => _inventory.ContainerAsync(idOrName, cancel);

    public async Task ActAsync(ContainerAction action, CancellationToken cancel)
    {
        string id = action.ContainerId;
        if (action.Verb is ContainerVerb.Pause or ContainerVerb.Stop) await RefuseToCutOurselvesOffAsync(id, cancel).ConfigureAwait(false);
        try
        {
            switch (action.Verb)
            {
                case ContainerVerb.Pause:
                    await _api.ContainerVerbAsync(id, "pause", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
                    break;
                case ContainerVerb.Unpause:
                    await _api.ContainerVerbAsync(id, "unpause", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
                    break;
                case ContainerVerb.Start:
                    await _api.ContainerVerbAsync(id, "start", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
                    break;
                case ContainerVerb.Stop:
                    await StopAsync(id, action.StopTimeoutSeconds, cancel).ConfigureAwait(false);
                    break;
            }
        }
        catch (EngineRefusalException e) when (e.Status is HttpStatusCode.Conflict or HttpStatusCode.InternalServerError)
        {
            // "Already paused" is 409, "not paused" is 500 in old engines and 409 in new ones: the state decides, not the words.
            string? state = (await _api.FindContainerAsync(id, cancel).ConfigureAwait(false))?.State?.Status;
            bool fulfilled = action.Verb switch
            {
                ContainerVerb.Pause => state == "paused",
                ContainerVerb.Unpause => state is not null and not "paused",
                _ => false,
            };
            if (!fulfilled) throw;
        }
    }

    /// <summary>Nothing could bring back what our own requests pass through.</summary>
    private async Task RefuseToCutOurselvesOffAsync(string id, CancellationToken cancel)
    {
        if (!(await _api.Http.RouteAsync(cancel).ConfigureAwait(false)).ThroughPortainer) return;
        if (await _inventory.ContainerAsync(id, cancel).ConfigureAwait(false) is { CarriesConnection: true } carrier)
            throw new EnvironmentException(Name, $"{carrier.Name} is part of Portainer, which the way to {Name} leads through: it is never paused or stopped",
                "to hold it, reach the engine another way (its socket, tcp:// with TLS)");
    }

    private async Task StopAsync(string id, int? seconds, CancellationToken cancel)
    {
        int patience = seconds
            ?? (await _api.FindContainerAsync(id, cancel).ConfigureAwait(false))?.Config?.StopTimeout
            ?? EngineStopTimeout;
        string verb = seconds is { } t ? string.Create(CultureInfo.InvariantCulture, $"stop?t={t}") : "stop";
        // Negative: the engine waits for ever, and so do we.
        TimeSpan timeout = patience < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(patience) + StopMargin;
        await _api.ContainerVerbAsync(id, verb, timeout, cancel).ConfigureAwait(false);
    }

    public Task<ServiceFacts?> FindServiceAsync(string id, CancellationToken cancel) => _services.FindAsync(id, cancel);

    public Task<bool> ScaleAsync(string serviceId, long from, long to, CancellationToken cancel) => _services.ScaleAsync(serviceId, from, to, cancel);

    public async Task<IPreparedExec> PrepareExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel) =>
        await PreparedExec.CreateAsync(_api, _context, containerId, command, cancel).ConfigureAwait(false);

    public async Task<bool> ExecRunsAsync(string execId, CancellationToken cancel)
    {
        try
        {
            return (await _api.ExecStateAsync(execId, "look at a command", cancel).ConfigureAwait(false)).Running == true;
        }
        catch (EngineRefusalException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return false;
        }
    }

    public async Task<Stream> OpenExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel)
    {
        DockerExec exec = await DockerExec.CreateAsync(_api, containerId, command, cancel).ConfigureAwait(false);
        return await exec.OpenAsync(cancel).ConfigureAwait(false);
    }

    public async Task<ExecResult> LoadAsync(
        string containerId, IReadOnlyList<string> command, long length, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        DockerExec exec = await DockerExec.CreateAsync(_api, containerId, command, cancel, length).ConfigureAwait(false);
        return await exec.LoadAsync(length, write, cancel).ConfigureAwait(false);
    }

    public async Task<ISourceHandle> PrepareSourceAsync(SourceRef source, string runId, CancellationToken cancel)
    {
        MountedSource mounted = await _mounts.MountAsync(source, true, runId, cancel).ConfigureAwait(false) ?? throw Missing(Name, source);
        return (await _api.Http.RouteAsync(cancel).ConfigureAwait(false)).Limits.Download is { } limit
            ? new SplitSourceHandle(_api, _helpers, _images, source, mounted, runId, limit, _context)
            : new SourceHandle(_api, _helpers, source, mounted);
    }

    public async Task<bool> ExistsAsync(SourceRef source, string runId, CancellationToken cancel)
    {
        if (source.Kind == SourceKind.Volume) return await _api.FindVolumeAsync(source.Name, cancel).ConfigureAwait(false) is not null;
        if (await _mounts.MountAsync(source, true, runId, cancel).ConfigureAwait(false) is not { } mounted) return false;
        await _helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
        return true;
    }

    public Task<bool> IsEmptyAsync(SourceRef source, string runId, CancellationToken cancel) => _emptier.IsEmptyAsync(source, runId, cancel);

    public async Task CreateVolumeAsync(VolumeFacts volume, CancellationToken cancel)
    {
        if (await _api.FindVolumeAsync(volume.Name, cancel).ConfigureAwait(false) is not null)
            throw new EnvironmentException(Name, $"volume {volume.Name} exists already", "choose another name, or remove the volume first");
        await _api.CreateVolumeAsync(new VolumeRequest(volume.Name, volume.Driver, volume.Options, volume.Labels), cancel).ConfigureAwait(false);
    }

    public Task EmptyAsync(SourceRef target, string runId, CancellationToken cancel) => _emptier.EmptyAsync(target, runId, cancel);

    public Task<string> PlanEmptyAsync(SourceRef target, string runId, CancellationToken cancel) => _emptier.PlanAsync(target, runId, cancel);

    /// <remarks>
    /// A bound directory that is missing is created, with its parents. A bound file is replaced by a new one: containers that run see it after
    /// their next start. See <see cref="DockerApi.WriteArchiveAsync"/> for the engine's one infidelity, which a comparison by reading back shows.
    /// </remarks>
    public async Task FillAsync(SourceRef target, string runId, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        SourceRef place = target;
        MountedSource? mounted = await _mounts.MountAsync(target, false, runId, cancel).ConfigureAwait(false);
        if (mounted is { IsDirectory: false })
        {
            // A mount point cannot be replaced: go through the directory it is in.
            await _helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
            place = Parent(target);
            mounted = await _mounts.MountAsync(place, false, runId, cancel).ConfigureAwait(false) ?? throw Missing(Name, target);
        }
        if (mounted is not null)
            await PushAsync(mounted, place, target, runId, write, cancel).ConfigureAwait(false);
        else if (target.Kind == SourceKind.Bind)
            await FillMissingAsync(target, runId, write, cancel).ConfigureAwait(false);
        else
            throw Missing(Name, target);
    }

    /// <param name="place">What is mounted: the target, or the directory that a file is in.</param>
    private async Task PushAsync(
        MountedSource mounted, SourceRef place, SourceRef target, string runId, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        try
        {
            byte[] head;
            if ((await _api.Http.RouteAsync(cancel).ConfigureAwait(false)).Limits.Upload is { } limit)
            {
                await using var upload = new PieceUpload(_api, _helpers, _images, place, mounted, runId, limit, _context);
                await upload.FillAsync(write, cancel).ConfigureAwait(false);
                head = upload.Head;
            }
            else
            {
                HeadStream? seen = null;
                await _api.WriteArchiveAsync(mounted.Helper, mounted.Path, $"write {target}",
                    (stream, token) => write(seen = new HeadStream(stream, HeadSize), token), cancel).ConfigureAwait(false);
                head = seen is null ? [] : seen.Head.ToArray();
            }
            // Engines skip the entry of the directory they extract into: its owner, mode and time would stay those of a fresh volume. Seen from
            // the directory above it is an entry like others.
            string parent = Path.GetDirectoryName(mounted.Path)!;
            if (TarHead.RootAs(Path.GetFileName(mounted.Path), head) is { } root)
                await _api.WriteArchiveAsync(mounted.Helper, parent, $"set the owner and mode of {target}",
                    (stream, token) => stream.WriteAsync(root, token).AsTask(), cancel).ConfigureAwait(false);
        }
        finally
        {
            await _helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
        }
    }

    /// <summary>Only the tar tells whether the missing path was a directory or a file, so its first header is looked at before anything is made.</summary>
    private async Task FillMissingAsync(SourceRef target, string runId, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        await using var pushed = new PushPipe(write, cancel);
        SourceRef place = await IsDirectoryAsync(pushed.Reader, cancel).ConfigureAwait(false) ? target : Parent(target);
        MountedSource made = await _mounts.MountCreatedAsync(place.Name, runId, cancel).ConfigureAwait(false);
        await PushAsync(made, place, target, runId, (stream, token) => pushed.Reader.CopyToAsync(stream, token), cancel).ConfigureAwait(false);
    }

    private static async Task<bool> IsDirectoryAsync(PipeReader tar, CancellationToken cancel)
    {
        for (int wanted = 1; ;)
        {
            ReadResult head = await tar.ReadAtLeastAsync(wanted, cancel).ConfigureAwait(false);
            char? type = TarHead.FirstType(head.Buffer.ToArray(), out wanted);
            tar.AdvanceTo(head.Buffer.Start, type is null ? head.Buffer.End : head.Buffer.Start);
            if (type is not null || head.IsCompleted) return type is '5' or '\0' or null;
        }
    }

    private static SourceRef Parent(SourceRef file) => SourceRef.Bind(Path.GetDirectoryName(file.Name) ?? "/");

    public Task<int> RemoveHelpersAsync(string? runId, CancellationToken cancel) => _helpers.SweepAsync(runId, cancel);

    internal static EnvironmentException Missing(string environment, SourceRef source) => source.Kind == SourceKind.Volume
        ? new(environment, $"there is no volume {source.Name} in {environment}", "list what is there with: docker volume ls", FailureKind.NotFound)
        : new(environment, $"there is no {source.Name} on the host of {environment}", "check the path of the bind mount", FailureKind.NotFound);

    public ValueTask DisposeAsync()
    {
        _api.Dispose();
        return ValueTask.CompletedTask;
    }
}
