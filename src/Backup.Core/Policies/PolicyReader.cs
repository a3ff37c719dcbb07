namespace Backup.Policies;

/// <summary>The whole policy: stores, defaults, environments. Problems are noted in the nodes' list.</summary>
internal sealed class PolicyReader
{
    private readonly string _path;
    private readonly Func<string, string> _resolve;
    private readonly StoreReader _stores;
    private readonly SettingsReader _settings;
    private readonly ConnectReader _connect;

    internal PolicyReader(string path)
    {
        _path = path;
        string folder = Path.GetDirectoryName(path) ?? "/";
        string Resolve(string relative) => Path.GetFullPath(relative, folder);
        (_resolve, _stores, _connect, _settings) = (Resolve, new StoreReader(Resolve), new ConnectReader(Resolve), new SettingsReader());
    }

    internal Policy? Read(PolicyNode node)
    {
        if (node.Object("the policy", PolicyKeys.Root) is not { } root) return null;
        _ = root["$schema"]?.Text("\"./backup.schema.json\"");

        IReadOnlyDictionary<string, PolicyNode> stores = root.Required("stores", """{ "disk": { "type": "directory", "path": "/var/backups/docker" } }""")?.Members("\"stores\"") ?? Nothing;
        foreach (var (name, store) in stores) CheckName(name, store, "store");
        if (root["stores"] is { IsObject: true } none && stores.Count == 0) none.Problem("holds no store", "Write at least one, such as \"disk\": { \"type\": \"directory\", \"path\": \"/var/backups/docker\" }.");
        List<StorePolicy> read = [.. stores.Select(s => _stores.Read(s.Key, s.Value)).OfType<StorePolicy>()];

        _settings.Stores = [.. stores.Keys];
        PolicyObject? written = root["defaults"]?.Object("\"defaults\"", PolicyKeys.Defaults);
        Settings defaults = written is null ? Settings.None : _settings.Read(written);
        ScheduleSettings schedule = written is null ? ScheduleSettings.None : _settings.ReadSchedule(written, ScheduleSettings.None);
        bool unclearStore = written?["store"] is not null && defaults.Store is null;

        var environments = new List<EnvironmentPolicy>();
        foreach (var (name, environment) in root["environments"]?.Members("\"environments\"") ?? Nothing)
        {
            CheckName(name, environment, "environment");
            if (Environment(name, environment, defaults, schedule, unclearStore) is { } one) environments.Add(one);
        }
        return new Policy(_path, read, environments)
        {
            Spool = root["spool"] is { } spool ? Spool(spool) : new SpoolPolicy(null, null),
            Streams = root["streams"]?.Whole(1, MostStreams) ?? 1,
        };
    }

    private const int MostStreams = 16;

    private static readonly Dictionary<string, PolicyNode> Nothing = [];

    private SpoolPolicy Spool(PolicyNode node)
    {
        if (node.Object("\"spool\"", PolicyKeys.Spool) is not { } section) return new SpoolPolicy(null, null);
        long? most = section["maxBytes"]?.Bytes(0, long.MaxValue, "size", "Such as \"8GiB\"; 0 for no spool at all.");
        return new SpoolPolicy(most, section["path"]?.Text("\"/var/lib/backup\"") is { } path ? _resolve(path) : null);
    }

    private EnvironmentPolicy? Environment(string name, PolicyNode node, Settings defaults, ScheduleSettings general, bool unclearStore)
    {
        if (node.Object("an environment", PolicyKeys.Environment) is not { } section) return null;
        ConnectPolicy? connect = section.Required("connect", "\"unix:///var/run/docker.sock\"") is { } c ? _connect.Read(c) : null;
        VolumePatterns volumes = section["volumes"] is { } v ? Volumes(v) : VolumePatterns.All;
        Settings own = _settings.Read(section);
        ScheduleSettings schedule = _settings.ReadSchedule(section, general);

        List<RulePolicy> rules = [];
        foreach (PolicyNode rule in section["rules"]?.Items("[{ \"volume\": \"db_data\", \"quiesce\": \"stop\" }]") ?? [])
            if (Rule(rule) is { } read) rules.Add(read);

        string? store = own.Store ?? defaults.Store ?? (_settings.Stores.Count == 1 ? _settings.Stores[0] : null);
        // A store that is written but wrong was reported where it stands.
        if (store is null && _settings.Stores.Count > 1 && section["store"] is null && !unclearStore)
            node.Problem($"says no \"store\", and there are {_settings.Stores.Count}", $"Add \"store\" here or to \"defaults\": {string.Join(", ", _settings.Stores)}.");

        TimeZoneInfo zone = schedule.TimeZone ?? TimeZoneInfo.Local;
        var policy = new VolumePolicy(store ?? "", own.Quiesce ?? defaults.Quiesce ?? QuiescePolicy.Default,
            own.CompressionLevel ?? defaults.CompressionLevel ?? SettingsReader.DefaultCompressionLevel, own.Retention ?? defaults.Retention, zone);
        policy = policy with { Downtime = own.Downtime.Over(defaults.Downtime.Over(policy.Downtime)) };
        VolumeGrouping grouping = section["grouping"]?.Choice(PolicyKeys.Groupings) ?? VolumeGrouping.Project;
        IReadOnlyList<GroupPolicy> groups = section["groups"] is { } g ? Groups(g) : [];
        var environment = new EnvironmentPolicy(
            name, connect ?? new DockerConnectPolicy(new Uri("unix:///"), null), volumes, schedule.Cron is { } cron ? new SchedulePolicy(cron, zone) : null, policy, rules)
        {
            Grouping = grouping,
            Groups = groups,
        };
        var overrides = new Dictionary<string, EnvironmentPolicy>(StringComparer.Ordinal);
        foreach (var (of, different) in section["overrides"]?.Members("\"overrides\"") ?? Nothing)
            if (Override(of, different, environment) is { } read) overrides.Add(of, read);
        if (connect is null) return null;
        if (section["overrides"] is { } idle && !environment.MayBeSeveral)
            idle.Problem("\"overrides\" has no meaning for a single environment", "It goes with \"connect\": { \"type\": \"portainer\", …, \"environment\": \"*\" }, and with a Swarm behind a Portainer agent.");
        return environment with { Overrides = overrides };
    }

    /// <summary>What one environment of a Portainer has in place of what its template says; its rules come first.</summary>
    private EnvironmentPolicy? Override(string name, PolicyNode node, EnvironmentPolicy template)
    {
        if (node.Object("an override", [.. PolicyKeys.Override, .. PolicyKeys.Times]) is not { } section) return null;
        foreach (string key in PolicyKeys.Times)
            section.Written(key)?.Problem($"\"{key}\" is the whole entry's: one timer runs all its environments",
                $"Give {name} an entry of its own beside this one, with the \"{key}\", the same \"connect\" but \"environment\": \"{name}\", and what else stands here; this entry then leaves it out.");
        Settings own = _settings.Read(section);
        List<RulePolicy> rules = [];
        foreach (PolicyNode rule in section["rules"]?.Items("[{ \"volume\": \"db_data\", \"quiesce\": \"stop\" }]") ?? [])
            if (Rule(rule) is { } read) rules.Add(read);
        VolumePolicy general = template.Default;
        return template with
        {
            Volumes = section["volumes"] is { } v ? Volumes(v) : template.Volumes,
            Default = general with
            {
                Store = own.Store ?? general.Store, Quiesce = own.Quiesce ?? general.Quiesce,
                CompressionLevel = own.CompressionLevel ?? general.CompressionLevel, Retention = own.Retention ?? general.Retention,
                Downtime = own.Downtime.Over(general.Downtime),
            },
            Grouping = section["grouping"]?.Choice(PolicyKeys.Groupings) ?? template.Grouping,
            Groups = section["groups"] is { } g ? Groups(g) : template.Groups,
            Rules = [.. rules, .. template.Rules],
        };
    }

    private RulePolicy? Rule(PolicyNode node)
    {
        if (node.Object("a rule", PolicyKeys.Rule) is not { } section) return null;
        string? volume = section.Required("volume", "\"db_data\"")?.Text("\"db_data\"");
        Settings own = _settings.Read(section);
        if (PolicyKeys.Rule.Where(key => key != "volume").All(key => section[key] is null))
            node.Problem("the rule says nothing about its volume", "Add \"store\", \"quiesce\", \"maxDowntime\", \"compression\" or \"retention\".");
        return volume is null ? null : new RulePolicy(volume, own.Store, own.Quiesce, own.CompressionLevel, own.Retention) { Downtime = own.Downtime };
    }

    private static IReadOnlyList<GroupPolicy> Groups(PolicyNode node)
    {
        var groups = new List<GroupPolicy>();
        foreach (var (name, group) in node.Members("\"groups\"") ?? Nothing)
        {
            CheckName(name, group, "group");
            IReadOnlyList<string> patterns = Patterns(group) ?? [];
            if (patterns.Count == 0 && group.Element.ValueKind == System.Text.Json.JsonValueKind.Array)
                group.Problem("names no volume", "Write its volumes or patterns, such as [\"shop_*\", \"bind:/srv/shop\"].");
            groups.Add(new GroupPolicy(name, patterns));
        }
        return groups;
    }

    private static VolumePatterns Volumes(PolicyNode node)
    {
        if (node.Object("\"volumes\"", PolicyKeys.Volumes) is not { } section) return VolumePatterns.All;
        IReadOnlyList<string> include = Patterns(section["include"]) ?? VolumePatterns.All.Include;
        return new VolumePatterns(include, Patterns(section["exclude"]) ?? []);
    }

    private static IReadOnlyList<string>? Patterns(PolicyNode? node)
    {
        IReadOnlyList<PolicyNode>? items = node?.Items("[\"*\"]");
        if (items is null) return null;
        var patterns = new List<string>();
        foreach (PolicyNode item in items)
            if (item.Text("\"db_*\"") is { } text)
            {
                if (text.StartsWith('/') || text.StartsWith("bind:", StringComparison.Ordinal) && text.ElementAtOrDefault(5) is not ('/' or '*' or '?'))
                    item.Problem($"\"{text}\" can match nothing", $"A bind mount is written with its absolute host path: \"bind:/{text.Replace("bind:", "").TrimStart('/')}\".");
                patterns.Add(text);
            }
        return patterns;
    }

    /// <summary>Names stand in ENV/VOLUME@TIME, in object keys and in unit names.</summary>
    private static void CheckName(string name, PolicyNode node, string what)
    {
        if (name.Length is 0 or > 64 || name.Any(c => char.IsControl(c) || c is '/' or '@' or '\\') || name.Trim() != name || name[0] is '-' or '.')
            node.Problem($"\"{name}\" cannot be the name of {(what == "environment" ? "an" : "a")} {what}",
                "Use 1 to 64 characters without / @ \\, not beginning with - or a dot and without blanks at the ends.");
    }
}
