namespace Backup.Environments;

public enum SourceKind
{
    Volume,
    Bind,
}

/// <summary>What is backed up: a volume by name, or a directory (or file) of the host that containers bind-mount.</summary>
/// <param name="Name">The volume's name, or the absolute host path of a bind mount.</param>
public sealed record SourceRef(SourceKind Kind, string Name) : IComparable<SourceRef>
{
    private const string BindPrefix = "bind:";

    public static SourceRef Volume(string name) => new(SourceKind.Volume, name);

    /// <summary>A bind mount; a trailing slash of the path is dropped.</summary>
    public static SourceRef Bind(string path) => new(SourceKind.Bind, path.Length > 1 ? path.TrimEnd('/') : path);

    /// <summary>Reads <c>name</c> or <c>bind:/path</c>, the form used in policies, listings and manifests.</summary>
    public static SourceRef Parse(string text) =>
        text.StartsWith(BindPrefix, StringComparison.Ordinal) ? Bind(text[BindPrefix.Length..]) : Volume(text);

    public override string ToString() => Kind == SourceKind.Bind ? BindPrefix + Name : Name;

    public int CompareTo(SourceRef? other) => string.CompareOrdinal(ToString(), other?.ToString());
}
