using System.Text;
using System.Text.Unicode;

namespace Backup.Environments.Pieces;

/// <param name="Path">Below the root, which is empty; bytes, each a char.</param>
/// <param name="Inode">Tells hard links to the same file; 0 = not known.</param>
/// <param name="Links">How many names the file has; 1 where that is not known.</param>
internal sealed record TreeNode(string Path, bool IsDirectory, long Size, long Inode = 0, int Links = 1)
{
    /// <summary>About what it takes in a tar.</summary>
    internal long TarBytes => 512 + (IsDirectory ? 0 : Size);

    /// <summary>
    /// Can be asked for by itself. Engines lose the last part of a path on the way when it is not UTF-8; a directory is asked for as what is in it.
    /// </summary>
    internal bool IsAddressable => IsDirectory || Utf8.IsValid(Encoding.Latin1.GetBytes(Path[(Path.LastIndexOf('/') + 1)..]));
}

/// <summary>What a source holds at one moment, in the engine's order.</summary>
internal sealed class TreeListing
{
    private readonly TreeNode[] _nodes;
    private readonly long[] _bytesBefore;

    /// <param name="nodes">In any order.</param>
    internal TreeListing(IEnumerable<TreeNode> nodes)
    {
        _nodes = [.. nodes];
        Array.Sort(_nodes, (a, b) => TreeOrder.Instance.Compare(a.Path, b.Path));
        _bytesBefore = new long[_nodes.Length + 1];
        for (int i = 0; i < _nodes.Length; i++) _bytesBefore[i + 1] = _bytesBefore[i] + _nodes[i].TarBytes;
    }

    internal int Count => _nodes.Length;

    internal TreeNode this[int index] => _nodes[index];

    internal IEnumerable<TreeNode> Linked => _nodes.Where(n => n is { Links: > 1, IsDirectory: false });

    /// <summary>The first node that comes after a path, whether the path is there or not.</summary>
    internal int After(string path)
    {
        int low = 0, high = _nodes.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (TreeOrder.Instance.Compare(_nodes[middle].Path, path) <= 0) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /// <summary>The first node behind a directory and all that is in it.</summary>
    internal int EndOf(int index)
    {
        int end = index + 1;
        while (end < _nodes.Length && TreeOrder.IsWithin(_nodes[end].Path, _nodes[index].Path)) end++;
        return end;
    }

    /// <summary>
    /// The largest part that begins no more than so many bytes before a node and holds it: the node itself, or a directory above it. Of a node that cannot
    /// be asked for by itself, at least its directory.
    /// </summary>
    internal int LargestPartFrom(int index, long allowance)
    {
        int part = index;
        for (int at = index; ParentOf(at) is { } parent; at = parent)
            if (_bytesBefore[index] - _bytesBefore[parent] <= allowance || !_nodes[part].IsAddressable) part = parent;
            else break;
        return part;
    }

    private int? ParentOf(int index)
    {
        string path = _nodes[index].Path;
        if (path.Length == 0) return null;
        int slash = path.LastIndexOf('/');
        int parent = After(slash < 0 ? "" : path[..slash]) - 1;
        return parent >= 0 && TreeOrder.IsWithin(path, _nodes[parent].Path) && parent < index ? parent : null;
    }
}
