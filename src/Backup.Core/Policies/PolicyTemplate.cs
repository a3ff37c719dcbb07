using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Backup.Environments;
using Backup.Planning;
using Backup.Quiescing;

namespace Backup.Policies;

/// <param name="Connect">JSON, as the policy says it.</param>
/// <param name="Nodes">One, but for a Swarm.</param>
public sealed record TemplateEnvironment(string Name, string Connect, IReadOnlyList<TemplateNode> Nodes)
{
    /// <summary>It stands for its nodes.</summary>
    public bool IsSwarm { get; init; }
}

/// <param name="Name">Of the environment that the node is.</param>
/// <param name="Inventory">Null = it could not be reached.</param>
/// <param name="Problem">Why not.</param>
public sealed record TemplateNode(string Name, Inventory? Inventory, string? Problem = null);

/// <summary>A first policy for what runs on an engine, or on several, commented, ready to be edited.</summary>
public static class PolicyTemplate
{
    public const string DefaultStorePath = "/var/backups/docker";

    // Databases without a preset: image name (the last part, without tag) → what people call it.
    private static readonly (string Image, string Name)[] Databases =
    [
        ("rabbitmq", "RabbitMQ"), ("elasticsearch", "Elasticsearch"),
        ("opensearch", "OpenSearch"), ("influxdb", "InfluxDB"), ("clickhouse", "ClickHouse"), ("cassandra", "Cassandra"), ("couchdb", "CouchDB"), ("etcd", "etcd"),
    ];

    /// <summary>Reads what <c>init --connect</c> was given as a policy's <c>connect</c> would be read.</summary>
    /// <param name="json">A text or an object.</param>
    /// <exception cref="PolicyException">It is no connection.</exception>
    public static ConnectPolicy Connect(string json)
    {
        var problems = new List<PolicyProblem>();
        using JsonDocument document = JsonDocument.Parse(json);
        ConnectPolicy? connect = new ConnectReader(Path.GetFullPath).Read(new PolicyNode(document.RootElement, "--connect", problems));
        return connect is not null && problems.Count == 0 ? connect : throw new PolicyException("of this engine", problems);
    }

    /// <param name="timeZone">Null = this host's.</param>
    public static string Write(IReadOnlyList<TemplateEnvironment> found, string storePath = DefaultStorePath, string? timeZone = null)
    {
        string zone = timeZone ?? (TimeZoneInfo.Local.HasIanaId ? TimeZoneInfo.Local.Id : "UTC");
        string what = found is [{ IsSwarm: false, Nodes: [{ Inventory.Engine: { } engine }] }] ? $"{Plain(engine.HostName)} (Docker {Plain(engine.Version)})"
            : found is [{ IsSwarm: true } swarm] ? $"a Swarm of {swarm.Nodes.Count} nodes"
            : found is [{ } only] ? Plain(only.Name) : $"{found.Count} environments";
        return $$"""
            // What is backed up, where to, when, and what is kept. Written by `backup init` for {{what}}.
            // Next: `backup check`, then `backup plan`, then `backup run`, then `backup schedule install`.
            {
              "stores": {
                "disk": { "type": "directory", "path": {{Quote(storePath)}} },
                // A bucket keeps the snapshots when this host is lost:
                // "bucket": {
                //   "type": "s3", "provider": "aliyun-oss", // aws, aliyun-oss, tencent-cos, minio, r2, b2, ceph, generic
                //   "region": "cn-hangzhou", "bucket": "my-backups", "prefix": "docker",
                //   "accessKeyId": "env:ACCESS_KEY_ID", "secretAccessKey": "file:/etc/backup/bucket.secret",
                // },
              },
              "defaults": {
                "store": "disk",
                "schedule": "0 3 * * *", // minute hour day-of-month month day-of-week
                "timeZone": {{Quote(zone)}},
                "quiesce": "auto", // containers that write to a volume are paused while it is read, known databases by their preset; labels may say otherwise
                "retention": { "keepDaily": 14, "keepWeekly": 8, "keepMonthly": 12, "minimum": 2 },
              },
              "environments": {
            {{string.Concat(found.Select(Environment))}}  },
            }

            """;
    }

    private static string Environment(TemplateEnvironment found)
    {
        string open = $"    {Quote(found.Name)}: {{\n      \"connect\": {found.Connect},\n";
        Inventory[] reached = [.. found.Nodes.Select(n => n.Inventory).OfType<Inventory>()];
        if (reached.Length == 0) return $"    // Not reached now: {Plain(string.Join("; ", found.Nodes.Select(n => n.Problem)))}\n{open}    }},\n";
        // What one node has and what another has: for the policy it is one environment.
        var inventory = new Inventory(reached[0].Engine, [.. reached.SelectMany(i => i.Volumes).DistinctBy(v => v.Name)], [.. reached.SelectMany(i => i.Containers)]);
        Selection selection = VolumeSelector.Select(VolumePatterns.All, inventory);
        return $$"""
            {{Nodes(found)}}{{open}}      "volumes": {
                    "include": [
                      "*", // {{Volumes(selection)}}
            {{Binds(inventory)}}        ],
                    "exclude": [],
                  },
                  "rules": [
            {{Rules(selection, inventory)}}      ],
                },

            """;
    }

    private static string Nodes(TemplateEnvironment found) => !found.IsSwarm ? ""
        : $"    // A Swarm: each of its nodes is an environment of its own. \"overrides\": {{ \"NODE\": {{ … }} }} says what is different on one of them.\n"
            + string.Concat(found.Nodes.Select(n => $"    // {Plain(n.Name)}: {(n.Inventory is { } i ? $"volumes: {i.Volumes.Count}" : $"not reached now: {Plain(n.Problem ?? "")}")}\n"));

    private static string Volumes(Selection selection) => selection.Selected.Count switch
    {
        0 => "every volume; there is none now",
        1 => $"every volume; now only {Plain(selection.Selected[0].Name)}",
        var many => $"every volume; {many} now",
    };

    private static string Binds(Inventory inventory)
    {
        var text = new StringBuilder();
        var binds = from c in inventory.Containers
                    where c.HelperOfRun is null
                    from m in c.Mounts
                    where m.Kind == "bind" && !VolumeSelector.IsSystemPath(m.Source)
                    group c.Name by SourceRef.Bind(m.Source) into g
                    orderby g.Key
                    select g;
        foreach (var bind in binds) text.Append($"          // {Quote(bind.Key.ToString())}, // a directory or file of this host that {Plain(string.Join(", ", bind.Distinct().Order(StringComparer.Ordinal)))} mounts\n");
        return text.ToString();
    }

    private static string Rules(Selection selection, Inventory inventory)
    {
        var text = new StringBuilder();
        foreach (SourceRef source in selection.Selected)
        {
            var users = inventory.Containers.Where(c => c.HelperOfRun is null && c.Mounts.Any(m => m.Kind == "volume" && m.Source == source.Name && m.Writable));
            foreach (ContainerFacts container in users.OrderBy(c => c.Name, StringComparer.Ordinal))
            {
                if (QuiescePresets.ForImage(container.Image) is { Mode: QuiesceMode.Pause } preset)
                {
                    string more = preset.Dump is null ? "" : $" For its dump as well: {{ \"preset\": \"{preset.Name}\", \"method\": \"both\" }}.";
                    text.Append($"        // {Plain(container.Name)} is known by its image as {preset.Name}: {preset.Holding}.{more}\n");
                    text.Append($"        {{ \"volume\": {Quote(source.Name)}, \"quiesce\": \"auto\" }},\n");
                    break;
                }
                if (Database(container.Image) is { } database)
                {
                    text.Append($"        // {database} in {Plain(container.Name)}: paused, its files are as after a power cut, from which it recovers by itself; \"stop\" for a clean shutdown.\n");
                    text.Append($"        {{ \"volume\": {Quote(source.Name)}, \"quiesce\": \"pause\" }},\n");
                    break;
                }
            }
        }
        return text.Length > 0 ? text.ToString() : "        // { \"volume\": \"some_volume\", \"quiesce\": \"stop\" },\n";
    }

    private static string? Database(string image)
    {
        string name = image.Split('@')[0].Split('/')[^1].Split(':')[0];
        return Databases.Where(d => name == d.Image || name.StartsWith(d.Image + "-", StringComparison.Ordinal)).Select(d => d.Name).FirstOrDefault();
    }

    /// <summary>As a text of JSON.</summary>
    public static string Quote(string text) => $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";

    /// <summary>A comment ends with its line, whatever an engine says.</summary>
    private static string Plain(string text) => string.Concat(text.Where(c => !char.IsControl(c) && c is not ('\u2028' or '\u2029')));
}
