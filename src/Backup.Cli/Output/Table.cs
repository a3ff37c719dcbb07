namespace Backup.Cli.Output;

/// <summary>Columns under headings, two spaces apart. A heading that starts with <c>&gt;</c> aligns its column to the right.</summary>
internal sealed class Table(params string[] headings)
{
    private readonly List<string[]> rows = [];

    public int Count => rows.Count;

    public void Add(params string[] cells)
    {
        if (cells.Length != headings.Length) throw new ArgumentException($"{cells.Length} cells under {headings.Length} headings", nameof(cells));
        rows.Add(Array.ConvertAll(cells, Text.Plain));
    }

    public void Write(TextWriter writer, string indent = "")
    {
        bool[] right = Array.ConvertAll(headings, h => h.StartsWith('>'));
        string[] titles = Array.ConvertAll(headings, h => h.TrimStart('>'));
        int[] widths = new int[headings.Length];
        for (int i = 0; i < widths.Length; i++)
            widths[i] = Math.Max(titles[i].Length, rows.Count == 0 ? 0 : rows.Max(r => r[i].Length));
        foreach (string[] row in rows.Prepend(titles))
        {
            var cells = row.Select((cell, i) => right[i] ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]));
            writer.WriteLine((indent + string.Join("  ", cells)).TrimEnd());
        }
    }
}
