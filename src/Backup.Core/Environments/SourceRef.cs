namespace Backup.Environments;

public enum SourceKind
{
    Volume,
    Bind,
    Dump,
}

/// <summary>What is backed up: a volume by name, a directory (or file) of the host that containers bind-mount, or what a database's own dump writes.</summary>
/// <param name="Name">
/// The volume's name, the absolute host path of a bind mount, or the database: <c>project_service</c> where compose made its container (<c>#2</c> for the
/// second of a scaled service), else the container's name.
/// </param>
public sealed record SourceRef(SourceKind Kind, string Name) : IComparable<SourceRef>
{
    private const string BindPrefix = "bind:", DumpPrefix = "dump:";

    public static SourceRef Volume(string name) => new(SourceKind.Volume, name);

    /// <summary>A bind mount; a trailing slash of the path is dropped.</summary>
    public static SourceRef Bind(string path) => new(SourceKind.Bind, path.Length > 1 ? path.TrimEnd('/') : path);

    public static SourceRef Dump(string database) => new(SourceKind.Dump, database);

    /// <summary>Reads <c>name</c>, <c>bind:/path</c> or <c>dump:database</c>, the form used in policies, listings and manifests.</summary>
    public static SourceRef Parse(string text) =>
        text.StartsWith(BindPrefix, StringComparison.Ordinal) ? Bind(text[BindPrefix.Length..])
        : text.StartsWith(DumpPrefix, StringComparison.Ordinal) ? Dump(text[DumpPrefix.Length..])
        : Volume(text);

    public override string ToString() => Kind switch { SourceKind.Bind => BindPrefix + Name, SourceKind.Dump => DumpPrefix + Name, _ => Name };

    public int CompareTo(SourceRef? other) => string.CompareOrdinal(ToString(), other?.ToString());
}
