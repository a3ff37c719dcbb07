using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Backup.Environments.Pieces;

/// <summary>
/// By the Portainer agent before the engine, where its container has the host's volumes mounted. It tells neither hard links nor names that are not
/// UTF-8, so it comes after the programs of a borrowed image.
/// </summary>
internal sealed class AgentAccess : IFileAccess
{
    /// <summary>Where an agent looks for volumes, inside its container.</summary>
    private const string VolumesInAgent = "/var/lib/docker/volumes";

    private const char Unreadable = '\uFFFD';

    private readonly DockerApi _api;
    private readonly RunContext _context;
    private readonly string _volume;

    private AgentAccess(DockerApi api, RunContext context, string volume) => (_api, _context, _volume) = (api, context, volume);

    /// <returns>Without access, why not.</returns>
    internal static async Task<(AgentAccess? Access, string WhyNot)> OpenAsync(DockerApi api, SourceRef source, RunContext context, CancellationToken cancel)
    {
        // What cuts versions out of paths is an agent.
        if (!(await api.Http.RouteAsync(cancel).ConfigureAwait(false)).CutsVersions) return (null, "no Portainer agent stands before the engine");
        if (source.Kind != SourceKind.Volume) return (null, "the agent's file browser shows nothing but volumes");
        VolumeAnswer? volume = await api.FindVolumeAsync(source.Name, cancel).ConfigureAwait(false);
        if (volume?.Mountpoint is not { } place || InventoryReader.Facts(volume) is not { Driver: "local", Options.Count: 0 })
            return (null, "the agent's file browser shows nothing of a volume that is a mount of its own");
        return await SeesAsync(api, Path.GetDirectoryName(Path.GetDirectoryName(place)) ?? "/", cancel).ConfigureAwait(false)
            ? (new AgentAccess(api, context, source.Name), "")
            : (null, $"the agent's file browser does not see the host's volumes (its container would need: -v {Path.GetDirectoryName(Path.GetDirectoryName(place))}:{VolumesInAgent})");
    }

    /// <summary>What an agent has mounted there need not be this engine's volumes: only the mount itself tells.</summary>
    private static async Task<bool> SeesAsync(DockerApi api, string volumes, CancellationToken cancel)
    {
        var sources = new HashSet<string>(StringComparer.Ordinal);
        foreach (ContainerItem item in await api.ContainersAsync(cancel).ConfigureAwait(false))
        {
            if (item.State != "running" || item.Mounts?.FirstOrDefault(m => m.Destination == VolumesInAgent) is not { Source: { } source }) continue;
            // A list tells no name any more of an image whose tag was given to another.
            ContainerAnswer? container = await api.FindContainerAsync(item.Id, cancel).ConfigureAwait(false);
            if (InventoryReader.IsPortainerImage(container?.Config?.Image ?? item.Image ?? "")) sources.Add(source.Length > 1 ? source.TrimEnd('/') : source);
        }
        return sources.SetEquals([volumes]);
    }

    public async Task<TreeListing> ListAsync(CancellationToken cancel)
    {
        var nodes = new List<TreeNode> { new("", true, 0) };
        var seen = new HashSet<(long Size, long Time)>();
        bool alike = false;
        var folders = new Queue<string>([""]);
        while (folders.TryDequeue(out string? folder))
            foreach (BrowsedFile file in await FolderAsync(folder, cancel).ConfigureAwait(false))
            {
                if (file.Name.Contains(Unreadable))
                    throw Refused($"the agent's file browser cannot name '{file.Name}', whose name is not UTF-8");
                string name = RawPath.Of(file.Name), path = folder.Length == 0 ? name : folder + "/" + name;
                nodes.Add(new TreeNode(path, file.Dir, file.Size));
                if (file.Dir) folders.Enqueue(path);
                else alike |= !seen.Add((file.Size, file.ModTime));
            }
        // Names of one file have its size and time: where no two are alike, there is none.
        if (alike)
            _context.Events.Report(new RunEvent.Warning(
                $"{_api.Http.Environment}: {_volume} is listed by the agent's file browser, which tells no hard links: names of one file may be kept as files of their own", Cure));
        return new TreeListing(nodes);
    }

    private async Task<BrowsedFile[]> FolderAsync(string folder, CancellationToken cancel)
    {
        string doing = $"list {_volume} by the agent's file browser";
        using HttpResponseMessage answer = await _api.Http.AskAgentAsync(Request("ls", folder), null, doing, cancel).ConfigureAwait(false);
        await using Stream body = new GuardedStream(await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false), _api.Http, doing);
        try
        {
            return await JsonSerializer.DeserializeAsync(body, DockerJson.Default.BrowsedFileArray, cancel).ConfigureAwait(false) ?? [];
        }
        catch (JsonException e)
        {
            throw EngineFailure.Translate(_api.Http.Environment, _api.Http.Display, doing, e);
        }
    }

    public async Task<Stream> OpenContentAsync(string path, long offset, long count, CancellationToken cancel)
    {
        string doing = $"read a part of {_volume} by the agent's file browser";
        HttpResponseMessage answer = await _api.Http.AskAgentAsync(Request("get", path), new RangeHeaderValue(offset, offset + count - 1), doing, cancel).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.PartialContent && answer.Content.Headers.ContentRange?.From == offset)
            return new GuardedStream(await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false), _api.Http, doing, answer);
        answer.Dispose();
        throw Refused($"'{Snapshots.EntryNames.Display(path)}' takes longer than one answer may last, and where a part of it was asked for all of it came, as Portainer servers since 2.31 do");
    }

    private string Request(string verb, string path) => $"v2/browse/{verb}?volumeID={Uri.EscapeDataString(_volume)}&path={RawPath.Escape("/" + path)}";

    private EnvironmentException Refused(string why) => new(_api.Http.Environment, $"cannot read on in {_volume}: no image on that host has what it could be read with, and {why}", Cure);

    private const string Cure = "load a small image on that host, such as: docker pull busybox; or reach the engine directly (\"ssh://…\", or \"tcp://…\" with TLS)";

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
