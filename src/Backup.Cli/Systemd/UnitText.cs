using System.Text;

namespace Backup.Cli.Systemd;

/// <summary>Words as unit files quote them.</summary>
internal static class UnitText
{
    /// <summary>One word of a command line: quoted where needed, with <c>%</c> and <c>$</c> meaning themselves.</summary>
    internal static string Argument(string text) => Word(text).Replace("$", "$$");

    /// <summary>One word of a list such as ReadWritePaths=.</summary>
    internal static string Word(string text)
    {
        string escaped = text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("%", "%%").Replace("\n", "\\n");
        bool plain = text.Length > 0 && text.All(c => char.IsAsciiLetterOrDigit(c) || "/._-+:@=,%$".Contains(c));
        return plain ? escaped : $"\"{escaped}\"";
    }

    /// <summary>Free text on one line.</summary>
    internal static string Line(string text) => text.Replace("%", "%%").ReplaceLineEndings(" ");

    /// <summary>Part of a unit's name: bytes that may not stand there become <c>\xNN</c>, as systemd-escape does.</summary>
    internal static string Name(string text)
    {
        var name = new StringBuilder();
        foreach (byte b in Encoding.UTF8.GetBytes(text))
            if (b < 128 && (char.IsAsciiLetterOrDigit((char)b) || (char)b is '_' or '.' or '-' or ':')) name.Append((char)b);
            else name.Append($"\\x{b:x2}");
        return name.ToString();
    }
}
