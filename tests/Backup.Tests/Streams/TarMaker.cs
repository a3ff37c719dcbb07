using System.Text;

namespace Backup.Tests.Streams;

/// <summary>Makes tars byte by byte, so that tests can also make what no sane program would.</summary>
internal sealed class TarMaker
{
    private readonly MemoryStream _tar = new();

    public long Length => _tar.Length;

    public TarMaker Add(string name, byte[] content, char type = '0', string link = "", int mode = 0x1A4, long uid = 0, long gid = 0, long mtime = 1_700_000_000,
        bool base256 = false, string magic = "ustar\0" + "00", string prefix = "", long? size = null, int major = 0, int minor = 0)
    {
        var h = new byte[512];
        Put(h, 0, name);
        Put(h, 100, Octal(mode, 7));
        Put(h, 108, Octal(uid, 7));
        Put(h, 116, Octal(gid, 7));
        long declared = size ?? content.Length;
        if (base256)
        {
            h[124] = 0x80;
            for (int i = 0; i < 8; i++) h[124 + 11 - i] = (byte)(declared >> (8 * i));
        }
        else Put(h, 124, Octal(declared, 11));
        Put(h, 136, Octal(mtime, 11));
        h[156] = (byte)type;
        Put(h, 157, link);
        Put(h, 257, magic);
        Put(h, 329, Octal(major, 7));
        Put(h, 337, Octal(minor, 7));
        Put(h, 345, prefix);
        Put(h, 148, "        ");
        Put(h, 148, Octal(h.Sum(b => b), 6) + "\0 ");
        _tar.Write(h);
        _tar.Write(content);
        _tar.Write(new byte[(512 - content.Length % 512) % 512]);
        return this;
    }

    public TarMaker Directory(string name, int mode = 0x1ED, long mtime = 1_700_000_000) => Add(name, [], '5', mode: mode, mtime: mtime);
    public TarMaker Symlink(string name, string target) => Add(name, [], '2', target);
    public TarMaker HardLink(string name, string target) => Add(name, [], '1', target);

    public TarMaker Pax(params (string Key, string Value)[] records) => Extended('x', records);
    public TarMaker Global(params (string Key, string Value)[] records) => Extended('g', records);
    public TarMaker GnuName(string name) => Add("././@LongLink", Encoding.Latin1.GetBytes(name + "\0"), 'L', magic: "ustar  \0");
    public TarMaker GnuLink(string name) => Add("././@LongLink", Encoding.Latin1.GetBytes(name + "\0"), 'K', magic: "ustar  \0");

    private TarMaker Extended(char type, (string Key, string Value)[] records)
    {
        var body = new StringBuilder();
        foreach (var (key, value) in records)
        {
            string rest = $" {key}={value}\n";
            int length = rest.Length + 1;
            while (length != $"{length}{rest}".Length) length = $"{length}{rest}".Length;
            body.Append(length).Append(rest);
        }
        return Add("PaxHeaders/x", Encoding.Latin1.GetBytes(body.ToString()), type);
    }

    public TarMaker Raw(byte[] bytes)
    {
        _tar.Write(bytes);
        return this;
    }

    /// <summary>The tar with its end mark and <paramref name="padding"/> more zero blocks.</summary>
    public byte[] End(int padding = 0)
    {
        _tar.Write(new byte[1024 + 512 * padding]);
        return _tar.ToArray();
    }

    public byte[] Cut() => _tar.ToArray();

    private static string Octal(long number, int digits) => Convert.ToString(number, 8).PadLeft(digits, '0');

    private static void Put(byte[] header, int at, string text) => Encoding.Latin1.GetBytes(text, header.AsSpan(at));
}
