using System.Net;

namespace Backup.Environments;

/// <summary>
/// The means of reading and writing volumes: containers over an empty image that are never started, or over a borrowed image and started.
/// Each carries the label of its run, so that what a killed run left is found.
/// </summary>
internal sealed class HelperContainers(DockerApi api, RunContext context)
{
    /// <summary>Where the source is mounted.</summary>
    internal const string Root = "/data";

    private const string Repository = "backup-helper";
    private const string Tag = "empty";
    internal const string EmptyImage = Repository + ":" + Tag;

    /// <summary>An empty tar: two zero blocks.</summary>
    private const int EmptyTarSize = 1024;

    /// <summary>Clean-up has a deadline of its own and is never cut short by the run's cancellation.</summary>
    private static readonly TimeSpan RemovalDeadline = TimeSpan.FromSeconds(30);

    /// <summary>Imports the empty image where it is missing. Nothing is pulled.</summary>
    internal async Task EnsureImageAsync(CancellationToken cancel)
    {
        if (await api.FindImageAsync(EmptyImage, cancel).ConfigureAwait(false) is not null) return;
        using var tar = new ByteArrayContent(new byte[EmptyTarSize]);
        tar.Headers.ContentType = new("application/x-tar");
        await api.ImportImageAsync(Repository, Tag, tar, cancel).ConfigureAwait(false);
    }

    /// <summary>Creates a helper over the empty image that is never to be started. Nothing is left behind when this fails or is cancelled.</summary>
    internal async Task<string> CreateAsync(string runId, HostConfigRequest host, CancellationToken cancel)
    {
        await EnsureImageAsync(cancel).ConfigureAwait(false);
        return await CreateAsync(runId, new ContainerRequest(EmptyImage, ["-"], Labels(runId), host), cancel).ConfigureAwait(false);
    }

    internal async Task<string> CreateAsync(string runId, ContainerRequest request, CancellationToken cancel)
    {
        string name = $"backup-helper-{runId[..Math.Min(8, runId.Length)]}-{context.NewId()[..12]}";
        cancel.ThrowIfCancellationRequested();
        // Not cut short: an engine goes on making what nobody listens for any more, and a removal that comes before it is done finds nothing.
        string id = await api.CreateContainerAsync(name, request, CancellationToken.None).ConfigureAwait(false);
        if (!cancel.IsCancellationRequested) return id;
        await RemoveAsync(id).ConfigureAwait(false);
        throw new OperationCanceledException(cancel);
    }

    internal static IReadOnlyDictionary<string, string> Labels(string runId) => new Dictionary<string, string> { [ContainerFacts.HelperLabel] = runId };

    internal static HostConfigRequest Host(params MountRequest[] mounts) => new(mounts, new LogConfigRequest("none"));

    /// <summary>
    /// Mounts an existing volume. Engines create a missing one on the spot; the label that only a new volume gets tells afterwards
    /// (<see cref="WasMadeByUs"/>) that it went away in the moment between check and creation.
    /// </summary>
    internal static MountRequest Mount(string volume, bool readOnly, string runId) =>
        new("volume", volume, Root, readOnly, new VolumeOptionsRequest(NoCopy: true, Labels(runId)));

    internal static bool WasMadeByUs(VolumeAnswer volume) => volume.Labels?.ContainsKey(ContainerFacts.HelperLabel) == true;

    /// <summary>Removes one helper on its own deadline. Never throws: what stays is reported, and found again by its label.</summary>
    internal async ValueTask RemoveAsync(string idOrName)
    {
        using var deadline = new CancellationTokenSource(RemovalDeadline, context.Time);
        try
        {
            await api.DeleteContainerAsync(idOrName, deadline.Token).ConfigureAwait(false);
        }
        catch (EngineRefusalException e) when (e.Status == HttpStatusCode.NotFound)
        {
        }
        catch (Exception e) when (e is EnvironmentException or OperationCanceledException)
        {
            context.Events.Report(new RunEvent.Warning(
                $"helper container {DockerApi.Short(idOrName)} in {api.Http.Environment} could not be removed: {e.Message}", "run: backup recover"));
        }
    }

    /// <summary>Removes the helpers of one run, or of all; only containers with our label are touched.</summary>
    internal async Task<int> SweepAsync(string? runId, CancellationToken cancel)
    {
        int removed = 0;
        foreach (ContainerItem container in await api.ContainersAsync(cancel).ConfigureAwait(false))
        {
            // Not by a filter of the engine's: gateways have been seen to ignore it, and where it leaves nothing nobody sees what a gateway left out.
            if (container.Labels?.TryGetValue(ContainerFacts.HelperLabel, out string? run) != true || (runId is not null && run != runId)) continue;
            try
            {
                await api.DeleteContainerAsync(container.Id, cancel).ConfigureAwait(false);
                removed++;
            }
            catch (EngineRefusalException e) when (e.Status is HttpStatusCode.NotFound or HttpStatusCode.Conflict)
            {
                // Gone, or its removal is under way already.
            }
        }
        return removed;
    }
}
