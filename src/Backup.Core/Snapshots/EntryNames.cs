using System.Text;

namespace Backup.Snapshots;

/// <summary>Names in a tar are bytes. Inside they are carried as Latin-1 text (one char a byte); people see UTF-8.</summary>
internal static class EntryNames
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    /// <summary>UTF-8 text; when the bytes are not valid UTF-8, those that are not appear as <c>\xNN</c> and backslashes double.</summary>
    internal static string Display(string raw)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(raw);
        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
        }
        var text = new StringBuilder();
        ReadOnlySpan<byte> rest = bytes;
        while (rest.Length > 0)
        {
            if (Rune.DecodeFromUtf8(rest, out Rune rune, out int used) == System.Buffers.OperationStatus.Done)
                text.Append(rune.Value == '\\' ? @"\\" : rune.ToString());
            else
                foreach (byte b in rest[..used]) text.Append($@"\x{b:x2}");
            rest = rest[used..];
        }
        return text.ToString();
    }

    /// <summary>The inverse of <see cref="Display"/>: text with <c>\xNN</c> escapes of non-ASCII bytes is read as such, all else is UTF-8.</summary>
    internal static string Raw(string typed)
    {
        bool escaped = false;
        for (int i = 0; i + 3 < typed.Length; i++)
            if (typed[i] == '\\' && typed[i + 1] == 'x' && IsHighByte(typed.AsSpan(i + 2, 2))) { escaped = true; break; }
        if (!escaped) return Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(typed));

        using var bytes = new MemoryStream();
        for (int i = 0; i < typed.Length; i++)
        {
            if (typed[i] == '\\' && i + 3 < typed.Length && typed[i + 1] == 'x' && IsHighByte(typed.AsSpan(i + 2, 2)))
            {
                bytes.WriteByte(Convert.ToByte(typed.Substring(i + 2, 2), 16));
                i += 3;
                continue;
            }
            if (typed[i] == '\\' && i + 1 < typed.Length && typed[i + 1] == '\\') i++;
            int length = char.IsHighSurrogate(typed[i]) && i + 1 < typed.Length ? 2 : 1;
            bytes.Write(Encoding.UTF8.GetBytes(typed.Substring(i, length)));
            i += length - 1;
        }
        return Encoding.Latin1.GetString(bytes.ToArray());
    }

    private static bool IsHighByte(ReadOnlySpan<char> hex) => hex[0] is (>= '8' and <= '9') or (>= 'a' and <= 'f') or (>= 'A' and <= 'F') && char.IsAsciiHexDigit(hex[1]);
}
