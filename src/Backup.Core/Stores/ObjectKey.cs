using System.Security.Cryptography;
using System.Text;

namespace Backup.Stores;

/// <summary>
/// The rules every key obeys: segments of <c>[A-Za-z0-9._~=@%+-]</c> separated by single slashes, no <c>.</c> or <c>..</c> segment, no slash at
/// either end, at most 1,000 bytes. Every S3 server seen and every file system keeps such keys apart.
/// </summary>
public static class ObjectKey
{
    /// <summary>Throws <see cref="ArgumentException"/> for a key that breaks the rules: keys are made by this program, so that is a bug.</summary>
    public static string Check(string key) =>
        IsValid(key) ? key : throw new ArgumentException($"not an object key: '{key}'", nameof(key));

    /// <summary>Throws for a prefix that is neither empty nor a key followed by one slash.</summary>
    public static string CheckPrefix(string prefix) =>
        prefix == "" || prefix.EndsWith('/') && IsValid(prefix[..^1]) ? prefix : throw new ArgumentException($"not a key prefix: '{prefix}'", nameof(prefix));

    /// <summary>Whether the key obeys the rules; a stranger's file or object in the same place may not.</summary>
    public static bool IsValid(string key) =>
        key.Length is > 0 and <= 1000 && !key.Split('/').Any(s => s is "" or "." or ".." || !s.All(Allowed));

    /// <summary>
    /// Turns any text into one segment of at most 120 bytes, the same text always into the same segment: other bytes of its UTF-8, and a
    /// leading dot, become <c>%XX</c>; what is too long for a file name is cut and closed with <c>~</c> and a hash of the whole.
    /// </summary>
    public static string Escape(string text)
    {
        var result = new StringBuilder();
        foreach (byte b in Encoding.UTF8.GetBytes(text))
        {
            char c = (char)b;
            if (b < 128 && Allowed(c) && c is not ('%' or '~') && !(c == '.' && result.Length == 0)) result.Append(c);
            else result.Append('%').Append(b.ToString("X2"));
        }
        if (result.Length <= 120) return result.ToString();
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
        return $"{result.ToString(0, 87)}~{hash[..32]}";
    }

    private static bool Allowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '~' or '=' or '@' or '%' or '+' or '-';
}
