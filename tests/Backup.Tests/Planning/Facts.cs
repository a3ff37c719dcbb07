using Backup.Environments;
using Backup.Policies;

namespace Backup.Tests.Planning;

/// <summary>Short ways to write down what an engine holds.</summary>
internal static class Facts
{
    internal static readonly EngineFacts Engine = new("ENGINE", "host", "20.10.24", "1.41", "Debian GNU/Linux 12", "x86_64");

    internal static Inventory Inventory(VolumeFacts[] volumes, params ContainerFacts[] containers) => new(Engine, volumes, containers);

    internal static VolumeFacts Volume(string name, bool anonymous = false, string? labels = null, string? options = null) =>
        new(name, "local", Pairs(options), Pairs(labels), "local", anonymous);

    /// <param name="mounts">Such as <c>data:/data</c>, <c>/srv/x:/x:ro</c>.</param>
    /// <param name="labels">Such as <c>a=b; c=d</c>.</param>
    internal static ContainerFacts Container(string name, string mounts, string state = "running", string? labels = null, bool autoRemove = false) =>
        new(name.PadRight(64, '0'), name, "image:1", "sha256:1", null, state, "2026-11-21T00:00:00Z", autoRemove, null, Pairs(labels),
            [.. mounts.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Mount)]);

    internal static string Compose(string service, string? dependsOn = null) =>
        $"com.docker.compose.project=app; com.docker.compose.service={service}" + (dependsOn is null ? "" : $"; com.docker.compose.depends_on={dependsOn}");

    internal static EnvironmentPolicy Policy(QuiescePolicy? quiesce = null, VolumePatterns? volumes = null, params RulePolicy[] rules) =>
        new("local", new DockerConnectPolicy(new Uri("unix:///var/run/docker.sock"), null), volumes ?? VolumePatterns.All, null,
            new VolumePolicy("disk", quiesce ?? QuiescePolicy.Default, 3, null, TimeZoneInfo.Utc), rules);

    private static MountFacts Mount(string text)
    {
        string[] parts = text.Split(':');
        return new MountFacts(parts[0].StartsWith('/') ? "bind" : "volume", parts[0], parts[1], parts.ElementAtOrDefault(2) != "ro");
    }

    private static Dictionary<string, string> Pairs(string? text) => (text ?? "").Split("; ", StringSplitOptions.RemoveEmptyEntries)
        .Select(p => p.Split('=', 2)).ToDictionary(p => p[0], p => p[1]);
}
