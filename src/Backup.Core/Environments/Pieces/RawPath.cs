using System.Globalization;
using System.Text;

namespace Backup.Environments.Pieces;

/// <summary>Paths that are bytes, each a char, where they have to pass through text.</summary>
internal static class RawPath
{
    /// <summary>The bytes of a path of this program's own.</summary>
    internal static string Of(string path) => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(path));

    internal static string Join(string folder, string path) => path.Length == 0 ? folder : folder + "/" + path;

    /// <summary>For a URL's query.</summary>
    internal static string Escape(string raw)
    {
        var text = new StringBuilder(raw.Length);
        foreach (char c in raw)
            if (IsPlain(c)) text.Append(c);
            else text.Append(CultureInfo.InvariantCulture, $"%{(int)c:X2}");
        return text.ToString();
    }

    /// <summary>A shell's statement that sets a variable to a path. Everything else than plain letters passes as octal numbers, also what is not UTF-8.</summary>
    internal static string Assign(string variable, string raw)
    {
        var text = new StringBuilder();
        foreach (char c in raw)
            if (IsPlain(c)) text.Append(c);
            else text.Append('\\').Append(Convert.ToString(c, 8).PadLeft(3, '0'));
        // A shell drops newlines at the end of what it substitutes: the letter keeps them from being at the end.
        return $"{variable}=$(printf '{text}x'); {variable}=${{{variable}%x}}";
    }

    private static bool IsPlain(char c) => char.IsAsciiLetterOrDigit(c) || c is '/' or '.' or '_' or '-';
}
