namespace Backup.Policies;

public enum PresetMethod
{
    /// <summary>The database's volume, read while the preset holds it.</summary>
    Volume,
    /// <summary>What the database's own dump writes, instead of the volume.</summary>
    Dump,
    Both,
}

public enum DumpFormat
{
    /// <summary>What the preset's dump is by default: SQL, where the database speaks it.</summary>
    Plain,
    /// <summary>PostgreSQL's own, for pg_restore.</summary>
    Custom,
}

/// <summary>A preset that the policy, or a container's labels, ask for by name.</summary>
public sealed record PresetPolicy(string Name, PresetMethod Method, PresetOptions Options);

/// <summary>What is said to a preset's scripts.</summary>
/// <param name="Patience">How long one step inside the container may take.</param>
/// <param name="User">Null = as the image's own variables say.</param>
/// <param name="PasswordFile">A file inside the container; null = the image's own variables.</param>
/// <param name="Databases">Empty = all.</param>
/// <param name="Files">For SQLite: its files inside the container.</param>
public sealed record PresetOptions(
    TimeSpan Patience, string? User, string? PasswordFile, IReadOnlyList<string> Databases, IReadOnlyList<string> Files, DumpFormat Format)
{
    public static readonly TimeSpan DefaultPatience = TimeSpan.FromSeconds(60);
    public static PresetOptions Default { get; } = new(DefaultPatience, null, null, [], [], DumpFormat.Plain);
}
