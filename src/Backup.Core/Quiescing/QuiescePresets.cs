using Backup.Policies;
using Backup.Quiescing.Presets;

namespace Backup.Quiescing;

/// <summary>The table of presets. A new kind of database is a row here and its scripts in <c>Presets</c>.</summary>
public static class QuiescePresets
{
    public static IReadOnlyList<QuiescePreset> All { get; } =
    [
        PostgresPreset.Row,
        MySqlPreset.MySql,
        MySqlPreset.MariaDb,
        RedisPreset.Redis,
        RedisPreset.Valkey,
        MongoPreset.Row,
        SqlitePreset.Row,
        EmqxPreset.Row,
        MosquittoPreset.Row,
        new("nginx", ["nginx", "nginx-unprivileged", "httpd"], "nothing: its files stay good while they are read") { Mode = QuiesceMode.None },
        new("files", [], "nothing: plain files that nobody changes half-way") { Mode = QuiesceMode.None },
    ];

    public static QuiescePreset? Named(string name) => All.FirstOrDefault(p => p.Name == name);

    /// <summary>By the last segment of the image's repository: <c>docker.io/bitnami/postgresql:16</c> is PostgreSQL, <c>postgres-exporter</c> is not.</summary>
    public static QuiescePreset? ForImage(string image)
    {
        string repository = image.Split('@')[0];
        string last = repository[(repository.LastIndexOf('/') + 1)..].Split(':')[0].ToLowerInvariant();
        return All.FirstOrDefault(p => p.Images.Contains(last));
    }
}
