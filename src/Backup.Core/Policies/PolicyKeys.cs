namespace Backup.Policies;

/// <summary>Every key the policy may have, by the kind of object it stands in. The parser reads these tables; the JSON Schema is tested against them.</summary>
internal static class PolicyKeys
{
    internal static readonly string[] Root = ["$schema", "stores", "spool", "streams", "defaults", "environments"];
    internal static readonly string[] Spool = ["maxBytes", "path"];
    internal static readonly string[] DirectoryStore = ["type", "format", "path"];
    internal static readonly string[] S3Store =
    [
        "type", "format", "provider", "region", "bucket", "prefix", "endpoint", "addressing", "accessKeyId", "secretAccessKey",
        "partSize", "storageClass", "caFile",
    ];
    internal static readonly string[] Defaults =
        ["store", "schedule", "timeZone", "quiesce", "maxDowntime", "whenExceeded", "healthTimeout", "warmUp", "compression", "retention"];
    internal static readonly string[] Environment =
    [
        "connect", "volumes", "grouping", "groups", "store", "schedule", "timeZone", "quiesce", "maxDowntime", "whenExceeded", "healthTimeout",
        "warmUp", "compression", "retention", "rules", "overrides",
    ];
    internal static readonly string[] Override =
    [
        "volumes", "grouping", "groups", "store", "quiesce", "maxDowntime", "whenExceeded", "healthTimeout", "warmUp", "compression", "retention", "rules",
    ];
    /// <summary>What an override cannot have, although the entry around it can.</summary>
    internal static readonly string[] Times = ["schedule", "timeZone"];
    internal static readonly string[] Rule =
        ["volume", "store", "quiesce", "maxDowntime", "whenExceeded", "healthTimeout", "warmUp", "compression", "retention"];
    internal static readonly string[] DockerConnect = ["type", "url", "tls"];
    internal static readonly string[] PortainerAgentConnect = ["type", "url", "secret", "key", "pair", "limits"];
    internal static readonly string[] PortainerConnect = ["type", "url", "apiKey", "environment", "tls", "limits"];
    internal static readonly string[] PortainerTls = ["ca"];
    internal static readonly string[] Limits = ["upload", "download"];
    internal static readonly string[] Tls = ["ca", "cert", "key"];
    internal static readonly string[] Volumes = ["include", "exclude"];
    internal static readonly string[] Quiesce = ["before", "after", "timeout", "then"];
    internal static readonly string[] Preset = ["preset", "method", "timeout", "user", "passwordFile", "databases", "files", "format"];
    /// <summary>Those of a preset that only some presets take.</summary>
    internal static readonly string[] PresetOptions = ["user", "passwordFile", "databases", "files", "format"];
    internal static readonly string[] Compression = ["level"];
    internal static readonly string[] Retention =
        ["keepLast", "keepHourly", "keepDaily", "keepWeekly", "keepMonthly", "keepYearly", "keep", "minimum"];
    internal static readonly string[] Slot = ["cron", "for", "count"];

    /// <summary>Every table by the name of its definition in the schema; the root's is the schema itself.</summary>
    internal static readonly IReadOnlyDictionary<string, string[]> Tables = new Dictionary<string, string[]>
    {
        [""] = Root,
        ["spool"] = Spool,
        ["directoryStore"] = DirectoryStore,
        ["s3Store"] = S3Store,
        ["defaults"] = Defaults,
        ["environment"] = Environment,
        ["override"] = Override,
        ["rule"] = Rule,
        ["dockerConnect"] = DockerConnect,
        ["portainerAgentConnect"] = PortainerAgentConnect,
        ["portainerConnect"] = PortainerConnect,
        ["portainerTls"] = PortainerTls,
        ["limits"] = Limits,
        ["tls"] = Tls,
        ["volumes"] = Volumes,
        ["hooks"] = Quiesce,
        ["preset"] = Preset,
        ["compression"] = Compression,
        ["retention"] = Retention,
        ["slot"] = Slot,
    };

    /// <summary>The shorthands of retention: a count of slots of this cron expression.</summary>
    internal static readonly IReadOnlyDictionary<string, string> Shorthands = new Dictionary<string, string>
    {
        ["keepHourly"] = "0 * * * *",
        ["keepDaily"] = "0 0 * * *",
        ["keepWeekly"] = "0 0 * * MON",
        ["keepMonthly"] = "0 0 1 * *",
        ["keepYearly"] = "0 0 1 1 *",
    };

    internal static readonly IReadOnlyDictionary<string, S3Provider> Providers = new Dictionary<string, S3Provider>
    {
        ["aws"] = S3Provider.Aws,
        ["aliyun-oss"] = S3Provider.AliyunOss,
        ["tencent-cos"] = S3Provider.TencentCos,
        ["minio"] = S3Provider.Minio,
        ["r2"] = S3Provider.R2,
        ["b2"] = S3Provider.B2,
        ["ceph"] = S3Provider.Ceph,
        ["generic"] = S3Provider.Generic,
    };

    internal static readonly IReadOnlyDictionary<string, S3Addressing> Addressings = new Dictionary<string, S3Addressing>
    {
        ["virtual"] = S3Addressing.Virtual,
        ["path"] = S3Addressing.Path,
        ["custom-domain"] = S3Addressing.CustomDomain,
    };

    internal static readonly IReadOnlyDictionary<string, PresetMethod> PresetMethods = new Dictionary<string, PresetMethod>
    {
        ["volume"] = PresetMethod.Volume,
        ["dump"] = PresetMethod.Dump,
        ["both"] = PresetMethod.Both,
    };

    internal static readonly IReadOnlyDictionary<string, DumpFormat> DumpFormats = new Dictionary<string, DumpFormat>
    {
        ["plain"] = DumpFormat.Plain,
        ["custom"] = DumpFormat.Custom,
    };

    internal static readonly IReadOnlyDictionary<string, QuiesceMode> Modes = new Dictionary<string, QuiesceMode>
    {
        ["none"] = QuiesceMode.None,
        ["pause"] = QuiesceMode.Pause,
        ["stop"] = QuiesceMode.Stop,
    };

    internal static readonly IReadOnlyDictionary<string, VolumeGrouping> Groupings = new Dictionary<string, VolumeGrouping>
    {
        ["project"] = VolumeGrouping.Project,
        ["volume"] = VolumeGrouping.Volume,
    };

    /// <summary>Whether a volume is kept whose containers came back before it was read.</summary>
    internal static readonly IReadOnlyDictionary<string, bool> WhenExceeded = new Dictionary<string, bool> { ["fail"] = false, ["keep"] = true };
}
