using System.Globalization;
using System.Text;

namespace Backup.Environments.Pieces;

/// <summary>Lists a source by find and stat, which nearly every image has in the same form.</summary>
internal static class ShellListing
{
    private const string Broken = "broken";
    private const int TypeMask = 0xF000, Directory = 0x4000, Socket = 0xC000;

    /// <param name="mark">A word that no name ends in: names may hold newlines.</param>
    /// <remarks>1 is the exit code for what went away meanwhile, which is no failure of the listing. Anything else would leave out what is there.</remarks>
    internal static string Script(ShellHelper shell, string mark) => $$"""
        cd {{HelperContainers.Root}} || exit 2
        {{shell["find"]}} . -exec {{shell.Image.Shell}} -c '"$0" -c "%f %h %i %s %n{{mark}}" "$@" 2>/dev/null; [ $? -le 1 ] || echo "{{Broken}}{{mark}}"' {{shell["stat"]}} {} +
        [ $? -le 1 ]
        """;

    internal static async Task<TreeListing> ReadAsync(Stream output, string mark, CancellationToken cancel)
    {
        var nodes = new List<TreeNode>();
        byte[] end = Encoding.Latin1.GetBytes(mark + "\n"), buffer = new byte[64 * 1024];
        int length = 0;
        for (int read; (read = await output.ReadAsync(buffer.AsMemory(length), cancel).ConfigureAwait(false)) > 0;)
        {
            length += read;
            int start = 0;
            for (int at; (at = buffer.AsSpan(start, length - start).IndexOf(end)) >= 0; start += at + end.Length)
                if (Node(Encoding.Latin1.GetString(buffer.AsSpan(start, at))) is { } node) nodes.Add(node);
            buffer.AsSpan(start, length - start).CopyTo(buffer);
            length -= start;
        }
        if (length > 0) throw new InvalidDataException("a line of the listing has no end");
        return new TreeListing(nodes);
    }

    /// <summary>Null for a socket.</summary>
    private static TreeNode? Node(string line)
    {
        if (line == Broken) throw new InvalidDataException("stat failed");
        string[] parts = line.Split(' ', 5);
        int type = int.Parse(parts[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture) & TypeMask;
        if (type == Socket) return null;
        string path = parts[4] == "." ? "" : parts[4].StartsWith("./", StringComparison.Ordinal) ? parts[4][2..] : parts[4];
        long Number(int i) => long.Parse(parts[i], CultureInfo.InvariantCulture);
        return new TreeNode(path, type == Directory, Number(3), Number(2), (int)Number(1));
    }
}
