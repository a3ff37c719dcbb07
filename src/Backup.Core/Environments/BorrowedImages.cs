using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Backup.Environments;

/// <summary>An image that is on the host already, with the programs that were asked for.</summary>
/// <param name="Programs">Where each is in the image, by name.</param>
internal sealed record BorrowedImage(string Id, string Name, IReadOnlyDictionary<string, string> Programs)
{
    internal string Shell => Programs["sh"];
}

/// <summary>Finds images on the host whose programs a helper can borrow. Nothing is pulled.</summary>
internal sealed class BorrowedImages(DockerApi api, HelperContainers helpers)
{
    /// <summary>Images looked into, beyond those of the source's own containers.</summary>
    private const int MaxImages = 20;

    private static readonly string[] Folders = ["/bin", "/usr/bin", "/busybox"];
    private static readonly string[] Shells = ["/bin/sh", "/usr/bin/sh", "/bin/bash", "/bin/ash", "/busybox/sh"];

    /// <summary>An image never changes, so what was seen holds; empty = it has no such program.</summary>
    private readonly ConcurrentDictionary<(string Image, string Program), string> _seen = new();

    /// <summary>Those that have a shell and, of each group of alternatives, at least one; images of the source's own containers first.</summary>
    internal async IAsyncEnumerable<BorrowedImage> WithAsync(
        SourceRef source, string runId, IReadOnlyList<string[]> needs, [EnumeratorCancellation] CancellationToken cancel)
    {
        foreach ((string id, string name) in await CandidatesAsync(source, cancel).ConfigureAwait(false))
            if (await LookIntoAsync(id, name, [["sh"], .. needs], runId, cancel).ConfigureAwait(false) is { } image)
                yield return image;
    }

    /// <summary>The engine's own filter would also match mount destinations of that name.</summary>
    internal static bool Uses(ContainerItem container, SourceRef source) => (container.Mounts ?? []).Any(m => source.Kind == SourceKind.Volume
        ? m.Type == "volume" && m.Name == source.Name
        : m.Type == "bind" && m.Source == source.Name);

    private async Task<IReadOnlyList<(string Id, string Name)>> CandidatesAsync(SourceRef source, CancellationToken cancel)
    {
        var candidates = new List<(string Id, string Name)>();
        foreach (ContainerItem user in (await api.ContainersAsync(cancel).ConfigureAwait(false)).Where(c => Uses(c, source)))
            if (user.ImageId is { Length: > 0 } id) Add(id, user.Image ?? id);
        int own = candidates.Count;
        IReadOnlyList<ImageAnswer> images = await api.ImagesAsync(cancel).ConfigureAwait(false);
        foreach (ImageAnswer image in images.OrderByDescending(i => i.RepoTags is { Count: > 0 }))
            if (candidates.Count - own < MaxImages) Add(image.Id, image.RepoTags?.FirstOrDefault() ?? image.Id);
        return candidates;

        void Add(string id, string name)
        {
            if (name != HelperContainers.EmptyImage && candidates.All(c => c.Id != id)) candidates.Add((id, name));
        }
    }

    /// <summary>Looks by a container that is never started; null when the image has not what is needed.</summary>
    private async Task<BorrowedImage?> LookIntoAsync(string id, string name, IReadOnlyList<string[]> needs, string runId, CancellationToken cancel)
    {
        if (KnownToLack(id, needs)) return null;
        if (Known(id, name, needs) is { } known) return known;
        string probe;
        try
        {
            probe = await helpers.CreateAsync(runId, new ContainerRequest(id, ["-"], HelperContainers.Labels(runId), HelperContainers.Host()), cancel).ConfigureAwait(false);
        }
        catch (EngineRefusalException)
        {
            // An image that was removed meanwhile, or that this engine cannot use, is no candidate.
            return null;
        }
        try
        {
            foreach (string[] alternatives in needs)
                if (!await HasOneAsync(probe, id, alternatives, cancel).ConfigureAwait(false)) return null;
            return Known(id, name, needs);
        }
        catch (EngineRefusalException)
        {
            return null;
        }
        finally
        {
            await helpers.RemoveAsync(probe).ConfigureAwait(false);
        }
    }

    private async Task<bool> HasOneAsync(string probe, string id, string[] alternatives, CancellationToken cancel)
    {
        foreach (string program in alternatives)
        {
            if (!_seen.TryGetValue((id, program), out string? path))
                _seen[(id, program)] = path = await FirstAsync(probe, program == "sh" ? Shells : [.. Folders.Select(f => $"{f}/{program}")], cancel).ConfigureAwait(false) ?? "";
            if (path.Length > 0) return true;
        }
        return false;
    }

    /// <summary>Null when it was seen to lack something, or not looked into yet.</summary>
    private BorrowedImage? Known(string id, string name, IReadOnlyList<string[]> needs)
    {
        Dictionary<string, string> programs = needs.SelectMany(a => a).Distinct()
            .Where(p => _seen.GetValueOrDefault((id, p), "").Length > 0).ToDictionary(p => p, p => _seen[(id, p)]);
        return needs.All(alternatives => alternatives.Any(programs.ContainsKey)) ? new BorrowedImage(id, name, programs) : null;
    }

    private bool KnownToLack(string id, IReadOnlyList<string[]> needs) =>
        needs.Any(alternatives => alternatives.All(p => _seen.TryGetValue((id, p), out string? path) && path.Length == 0));

    /// <summary>The first path at which the container has a program, links followed to their end (often <c>/bin</c> leads to <c>/usr/bin</c>).</summary>
    private async Task<string?> FirstAsync(string container, string[] paths, CancellationToken cancel)
    {
        foreach (string path in paths)
        {
            PathStat? stat = await api.StatAsync(container, path, cancel).ConfigureAwait(false);
            if (stat is { IsSymlink: true, LinkTarget.Length: > 0 }) stat = await api.StatAsync(container, stat.LinkTarget, cancel).ConfigureAwait(false);
            if (stat is { IsExecutable: true }) return path;
        }
        return null;
    }
}
