using System.Globalization;
using System.Text;

namespace Backup.Streams;

/// <summary>
/// Gives an entry another name, makes a hard link or an empty file of it, and leaves every other byte of its headers as it is. The outcome is what an engine would
/// have written: PAX for names that are long or not ASCII. Names are bytes, each a char.
/// </summary>
internal static class TarRenamer
{
    private const int NameSize = 100, LinkAt = 157, TypeAt = 156, SizeAt = 124, PrefixAt = 345, PrefixSize = 155, MagicAt = 257;

    /// <param name="raw">All header blocks of one entry.</param>
    /// <param name="name">With a slash at the end of a directory's.</param>
    /// <param name="hardLinkTo">Null = what it is; else the entry becomes a hard link to that name, without content.</param>
    internal static byte[] Rename(ReadOnlySpan<byte> raw, string name, string? hardLinkTo = null) => Change(raw, name, hardLinkTo, empty: false);

    /// <summary>The same entry without content.</summary>
    internal static byte[] Emptied(ReadOnlySpan<byte> raw) => Change(raw, null, null, empty: true);

    /// <summary>The header of a file of root's own.</summary>
    /// <param name="name">Short and ASCII.</param>
    internal static byte[] FileHeader(string name, int size)
    {
        byte[] header = new byte[TarParser.BlockSize];
        Encoding.ASCII.GetBytes(name, header);
        "0000600\00000000\00000000\0"u8.CopyTo(header.AsSpan(100));
        Encoding.ASCII.GetBytes(Convert.ToString(size, 8).PadLeft(11, '0') + "\000000000000\0", header.AsSpan(SizeAt));
        header[TypeAt] = (byte)'0';
        "ustar\000"u8.CopyTo(header.AsSpan(MagicAt));
        Sum(header);
        return header;
    }

    private static byte[] Change(ReadOnlySpan<byte> raw, string? name, string? hardLinkTo, bool empty)
    {
        var records = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        using var output = new MemoryStream();
        int main = 0;
        // An old sparse map follows its header; all other extensions stand before it.
        while (IsExtension(raw[main + TypeAt]))
        {
            int size = (int)Octal(raw.Slice(main + SizeAt, 12));
            int next = main + TarParser.BlockSize + (int)TarParser.Padded(size);
            if (raw[main + TypeAt] is (byte)'x' or (byte)'X') Read(raw.Slice(main + TarParser.BlockSize, size), records);
            // A global header belongs to all that follows: it stays. A GNU long name is replaced.
            else if (raw[main + TypeAt] == 'g' || name is null) output.Write(raw[main..next]);
            main = next;
        }
        byte[] rest = raw[main..].ToArray();
        Span<byte> header = rest.AsSpan(0, TarParser.BlockSize);
        if (name is not null)
        {
            Name(header[..NameSize], name, records, "path");
            if (header.Slice(MagicAt, 6).SequenceEqual("ustar\0"u8)) header.Slice(PrefixAt, PrefixSize).Clear();
        }
        if (empty || hardLinkTo is not null)
        {
            "00000000000\0"u8.CopyTo(header[SizeAt..]);
            records.Remove("size");
        }
        if (hardLinkTo is not null)
        {
            header[TypeAt] = (byte)'1';
            Name(header.Slice(LinkAt, NameSize), hardLinkTo, records, "linkpath");
        }
        Sum(header);
        if (records.Count > 0) WriteExtension(output, name ?? "PaxHeaders", records);
        output.Write(rest);
        return output.ToArray();
    }

    private static bool IsExtension(byte type) => type is (byte)'x' or (byte)'X' or (byte)'g' or (byte)'L' or (byte)'K';

    private static void Name(Span<byte> field, string name, SortedDictionary<string, byte[]> records, string key)
    {
        bool ascii = name.All(char.IsAscii);
        records.Remove(key);
        if (!ascii || name.Length > NameSize) records[key] = Encoding.Latin1.GetBytes(name);
        field.Clear();
        string plain = ascii ? name : string.Concat(name.Where(char.IsAscii));
        Encoding.Latin1.GetBytes(plain.Length > NameSize ? plain[..NameSize] : plain, field);
        // Some readers take a name that is cut at a slash for a directory's.
        if (plain.Length > NameSize && field[^1] == '/') field[field.TrimEnd((byte)'/').Length..].Clear();
    }

    private static void WriteExtension(MemoryStream output, string name, SortedDictionary<string, byte[]> records)
    {
        using var body = new MemoryStream();
        foreach ((string key, byte[] value) in records)
        {
            int rest = 1 + key.Length + 1 + value.Length + 1, length = rest;
            while (length != rest + Digits(length)) length = rest + Digits(length);
            body.Write(Encoding.Latin1.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{length} {key}=")));
            body.Write(value);
            body.WriteByte((byte)'\n');
        }
        byte[] block = new byte[TarParser.BlockSize];
        string title = Title(name);
        Encoding.Latin1.GetBytes(title.Length > NameSize ? title[..NameSize] : title, block);
        "0000000\00000000\00000000\0"u8.CopyTo(block.AsSpan(100));
        Encoding.ASCII.GetBytes(Convert.ToString(body.Length, 8).PadLeft(11, '0') + "\000000000000\0", block.AsSpan(SizeAt));
        block[TypeAt] = (byte)'x';
        "ustar\000"u8.CopyTo(block.AsSpan(MagicAt));
        Sum(block);
        output.Write(block);
        body.WriteTo(output);
        output.Write(new byte[TarParser.Padded(body.Length) - body.Length]);
    }

    /// <summary>What the extension itself is called, for readers that do not know what it is.</summary>
    private static string Title(string name)
    {
        string plain = string.Concat(name.Where(char.IsAscii));
        int slash = plain.LastIndexOf('/');
        IEnumerable<string> parts = plain[..(slash + 1)].Split('/').Append("PaxHeaders.0").Append(plain[(slash + 1)..]);
        return string.Join('/', parts.Where(p => p.Length > 0 && p != "."));
    }

    private static void Read(ReadOnlySpan<byte> body, SortedDictionary<string, byte[]> records)
    {
        while (body.Length > 0)
        {
            int space = body.IndexOf((byte)' ');
            int length = int.Parse(body[..space], CultureInfo.InvariantCulture);
            ReadOnlySpan<byte> record = body[(space + 1)..(length - 1)];
            int equals = record.IndexOf((byte)'=');
            records[Encoding.Latin1.GetString(record[..equals])] = record[(equals + 1)..].ToArray();
            body = body[length..];
        }
    }

    private static void Sum(Span<byte> header)
    {
        Span<byte> field = header.Slice(148, 8);
        field.Fill((byte)' ');
        int sum = 0;
        foreach (byte b in header) sum += b;
        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ", field);
    }

    private static int Digits(int number) => number.ToString(CultureInfo.InvariantCulture).Length;

    private static long Octal(ReadOnlySpan<byte> field)
    {
        long value = 0;
        foreach (byte b in field)
            if (b is >= (byte)'0' and <= (byte)'7') value = value * 8 + (b - '0');
        return value;
    }
}
