using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Environments.Pieces;

/// <summary>What of a listed tree is still to be read, and what hard links lead to.</summary>
internal sealed class TreeCursor
{
    private readonly TreeListing _tree;
    private readonly Dictionary<string, long> _linked;
    private readonly Dictionary<long, string> _heads = [];
    private int _next, _part;

    /// <param name="last">The last entry that is out, if any.</param>
    internal TreeCursor(TreeListing tree, string? last)
    {
        _tree = tree;
        _linked = tree.Linked.ToDictionary(n => n.Path, n => n.Inode, StringComparer.Ordinal);
        if (last is null) return;
        foreach (TreeNode node in tree.Linked)
            if (TreeOrder.Instance.Compare(node.Path, last) <= 0) _heads.TryAdd(node.Inode, node.Path);
    }

    internal bool AtEnd => _next == _tree.Count;

    /// <summary>The root of the largest part that holds what comes next, and no more than so many bytes that are out already.</summary>
    internal TreeNode ChoosePart(long allowance) => _tree[_part = _tree.LargestPartFrom(_next, allowance)];

    /// <summary>The part that was chosen is out, or gone.</summary>
    internal void PartDone() => _next = Math.Max(_next + 1, _tree.EndOf(_part));

    /// <summary>The part that was chosen is gone, but perhaps not all that was to come.</summary>
    internal void PartGone() => _next = _part < _next ? _next + 1 : _tree.EndOf(_part);

    /// <param name="inside">Its content is not all out yet.</param>
    internal void StoppedAt(string? last, bool inside)
    {
        if (last is not null) _next = Math.Max(_next, inside ? _tree.After(last) - 1 : _tree.After(last));
    }

    /// <summary>What an entry is a hard link to; null when it is none, or the first of its kind.</summary>
    /// <param name="above">The path that the header's names are relative to: empty, or with a slash at its end.</param>
    internal string? LinkOf(string path, TarHeader header, string above)
    {
        string? said = header.Type == FileType.HardLink ? above + header.LinkPath : null;
        if (!_linked.TryGetValue(path, out long inode)) return said;
        if (_heads.TryGetValue(inode, out string? head)) return head == path ? null : head;
        _heads[inode] = said ?? path;
        return said;
    }
}
