using System.Text.Json.Nodes;

namespace Backup.PortainerRig.Server;

/// <summary>One record of who may use what.</summary>
/// <param name="Kind"><c>container</c> or <c>volume</c>.</param>
public sealed record ResourceControl(int Id, string Kind, string Resource, int User)
{
    internal JsonObject ToJson() => new()
    {
        ["Id"] = Id, ["ResourceId"] = Resource, ["Type"] = Kind == "container" ? 1 : 3,
        ["UserAccesses"] = new JsonArray(new JsonObject { ["UserId"] = User, ["AccessLevel"] = 1 }), ["Public"] = false, ["AdministratorsOnly"] = false,
    };
}

/// <summary>The server's records of who may use what, kept for a test to look at (server 2.4).</summary>
public sealed class ResourceControls
{
    private readonly List<ResourceControl> _records = [];
    private int _last;

    public IReadOnlyList<ResourceControl> All
    {
        get { lock (_records) return [.. _records]; }
    }

    /// <summary>As an administrator does by hand.</summary>
    public ResourceControl Add(string kind, string resource, int user)
    {
        var made = new ResourceControl(Interlocked.Increment(ref _last), kind, resource, user);
        lock (_records) _records.Add(made);
        return made;
    }

    internal ResourceControl? Find(string kind, string resource)
    {
        lock (_records) return _records.FirstOrDefault(r => r.Kind == kind && r.Resource == resource);
    }

    /// <summary>The one whose resource is exactly this text: what was made for an id is not found by a name (server 2.4).</summary>
    internal void Remove(string kind, string resource)
    {
        lock (_records)
            if (_records.FirstOrDefault(r => r.Kind == kind && r.Resource == resource) is { } found) _records.Remove(found);
    }
}
