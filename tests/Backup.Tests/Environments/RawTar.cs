using System.Globalization;
using System.Text;

namespace Backup.Tests.Environments;

/// <summary>One entry of a tar, names as Latin-1 text (one char a byte), paths without a leading <c>./</c>; the root is the empty path.</summary>
public sealed record TarItem(string Path, char Type = '0', string Content = "", string Link = "", int Mode = 0b110_100_100, int Uid = 0, int Gid = 0,
    long Mtime = 1_700_000_000, int Major = 0, int Minor = 0)
{
    public static TarItem Dir(string path) => new(path, '5', Mode: 0b111_101_101);
    public static TarItem Symlink(string path, string target) => new(path, '2', Link: target, Mode: 0b111_111_111);
    public static TarItem HardLink(string path, string target) => new(path, '1', Link: target);
}

/// <summary>Writes and reads tars byte by byte: what System.Formats.Tar would mend or hide is what the tests are about.</summary>
public static class RawTar
{
    private const int Block = 512;

    /// <summary>A directory's tar as the engine writes it: the root first, then the items, then two zero blocks.</summary>
    public static byte[] OfDirectory(params TarItem[] items) => Build([TarItem.Dir(""), .. items]);

    public static byte[] Build(IEnumerable<TarItem> items, bool dotted = true, bool ended = true)
    {
        using var tar = new MemoryStream();
        foreach (TarItem item in items)
        {
            string name = dotted ? "./" + item.Path : item.Path;
            if (item.Type == '5' && item.Path.Length > 0) name += "/";
            string link = item.Type == '1' && dotted ? "./" + item.Link : item.Link;
            bool pax = name.Length > 100 || link.Length > 100 || name.Any(c => c > 127);
            if (pax)
            {
                string records = Record("path", name) + (link.Length > 0 ? Record("linkpath", link) : "");
                Header(tar, new TarItem("", 'x'), "PaxHeaders.0/x", "", records.Length);
                Body(tar, records);
            }
            Header(tar, item, name.Length > 100 ? name[..100] : name, link.Length > 100 ? link[..100] : link, item.Type == '0' ? item.Content.Length : 0);
            if (item.Type == '0') Body(tar, item.Content);
        }
        if (ended) tar.Write(new byte[2 * Block]);
        return tar.ToArray();
    }

    /// <summary>Reads a whole tar; throws when it is not whole.</summary>
    public static IReadOnlyList<TarItem> Parse(byte[] tar)
    {
        var items = new List<TarItem>();
        string? path = null, link = null;
        int at = 0;
        while (true)
        {
            if (at + Block > tar.Length) throw new InvalidDataException($"the tar ends at {tar.Length} without its end mark");
            ReadOnlySpan<byte> h = tar.AsSpan(at, Block);
            if (h.IndexOfAnyExcept((byte)0) < 0) return items;
            char type = (char)h[156];
            int size = (int)Octal(h.Slice(124, 12));
            string content = Latin(tar.AsSpan(at + Block, size));
            at += Block + (size + Block - 1) / Block * Block;
            if (type == 'x')
            {
                foreach ((string key, string value) in Records(content))
                    if (key == "path") path = value;
                    else if (key == "linkpath") link = value;
                continue;
            }
            string prefix = h[257..262].SequenceEqual("ustar"u8) && h[345] != 0 ? Text(h.Slice(345, 155)) + "/" : "";
            string name = (path ?? prefix + Text(h[..100])).TrimEnd('/');
            string target = link ?? Text(h.Slice(157, 100));
            items.Add(new TarItem(Undot(name), type, content, type == '1' ? Undot(target) : target, (int)Octal(h.Slice(100, 8)) & 0xFFF,
                (int)Octal(h.Slice(108, 8)), (int)Octal(h.Slice(116, 8)), Octal(h.Slice(136, 12)), (int)Octal(h.Slice(329, 8)), (int)Octal(h.Slice(337, 8))));
            path = link = null;
        }
    }

    private static string Undot(string name) => name is "." ? "" : name.StartsWith("./", StringComparison.Ordinal) ? name[2..] : name;

    private static void Header(MemoryStream tar, TarItem item, string name, string link, int size)
    {
        byte[] h = new byte[Block];
        Put(0, name);
        PutOctal(100, 8, item.Mode);
        PutOctal(108, 8, item.Uid);
        PutOctal(116, 8, item.Gid);
        PutOctal(124, 12, size);
        PutOctal(136, 12, item.Mtime);
        h[156] = (byte)item.Type;
        Put(157, link);
        "ustar\0"u8.CopyTo(h.AsSpan(257));
        "00"u8.CopyTo(h.AsSpan(263));
        PutOctal(329, 8, item.Major);
        PutOctal(337, 8, item.Minor);
        h.AsSpan(148, 8).Fill((byte)' ');
        PutOctal(148, 7, h.Sum(b => b));
        tar.Write(h);

        void Put(int at, string text) => Encoding.Latin1.GetBytes(text).CopyTo(h, at);
        void PutOctal(int at, int width, long value) => Put(at, Convert.ToString(value, 8).PadLeft(width - 1, '0') + "\0");
    }

    private static void Body(MemoryStream tar, string content)
    {
        tar.Write(Encoding.Latin1.GetBytes(content));
        tar.Write(new byte[(Block - content.Length % Block) % Block]);
    }

    private static string Record(string key, string value)
    {
        int length = key.Length + value.Length + 3;
        int digits = length.ToString(CultureInfo.InvariantCulture).Length;
        if ((length + digits).ToString(CultureInfo.InvariantCulture).Length > digits) digits++;
        return $"{length + digits} {key}={value}\n";
    }

    private static IEnumerable<(string, string)> Records(string text)
    {
        while (text.Length > 0)
        {
            int length = int.Parse(text[..text.IndexOf(' ')], CultureInfo.InvariantCulture);
            string record = text[(text.IndexOf(' ') + 1)..(length - 1)];
            yield return (record[..record.IndexOf('=')], record[(record.IndexOf('=') + 1)..]);
            text = text[length..];
        }
    }

    private static long Octal(ReadOnlySpan<byte> field)
    {
        string digits = Text(field).Trim();
        return digits.Length == 0 ? 0 : Convert.ToInt64(digits, 8);
    }

    private static string Text(ReadOnlySpan<byte> field) => Latin(field.IndexOf((byte)0) is >= 0 and int end ? field[..end] : field);

    private static string Latin(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);
}
