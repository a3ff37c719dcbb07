using Backup.Environments;
using Backup.Tests.Environments;

namespace Backup.Tests.Fakes;

/// <summary>A source's content as an engine keeps it: entries by path, of which a fill adds and replaces and none is ever deleted.</summary>
internal sealed class FakeSource(VolumeFacts? facts)
{
    private readonly SortedDictionary<string, TarItem> _items = new(StringComparer.Ordinal) { [""] = TarItem.Dir("") };
    private bool _file;

    internal VolumeFacts? Facts => facts;

    internal bool IsEmpty => !_file && _items.Count == 1;

    internal void Clear()
    {
        _items.Clear();
        _items[""] = TarItem.Dir("");
    }

    /// <exception cref="InvalidDataException">The tar is not whole.</exception>
    internal void Merge(byte[] tar)
    {
        IReadOnlyList<TarItem> items = RawTar.Parse(tar);
        // A bound file comes as one entry whose name has no dot before it.
        _file = facts is null && items is [{ Type: '0' }] && tar[0] != '.';
        if (_file) _items.Clear();
        foreach (TarItem item in items) _items[item.Path] = item;
    }

    internal byte[] Tar() => RawTar.Build(_items.Values, dotted: !_file);
}
