namespace Backup.Environments.Pieces;

/// <summary>The order in which an engine walks a directory: by name, byte by byte, each directory before what is in it. Paths are bytes, each a char.</summary>
internal sealed class TreeOrder : IComparer<string>
{
    internal static TreeOrder Instance { get; } = new();

    public int Compare(string? x, string? y)
    {
        int common = Math.Min(x!.Length, y!.Length);
        for (int i = 0; i < common; i++)
            if (x[i] != y[i]) return Rank(x[i]).CompareTo(Rank(y[i]));
        return x.Length.CompareTo(y.Length);
    }

    /// <summary>A directory's content comes before a neighbour whose name goes on where the directory's ends.</summary>
    private static int Rank(char c) => c == '/' ? -1 : c;

    internal static bool IsWithin(string path, string directory) =>
        directory.Length == 0 || (path.StartsWith(directory, StringComparison.Ordinal) && (path.Length == directory.Length || path[directory.Length] == '/'));
}
