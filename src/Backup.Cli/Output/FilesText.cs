using System.Globalization;
using Backup.Snapshots;

namespace Backup.Cli.Output;

/// <summary>Lines as <c>ls -l</c> writes them.</summary>
internal static class FilesText
{
    public static void Write(TextWriter writer, IReadOnlyList<FileEntry> files, TimeZoneInfo zone)
    {
        if (files.Count == 0) return;
        int owner = files.Max(f => Owner(f).Length);
        int size = files.Max(f => f.Size.ToString(CultureInfo.InvariantCulture).Length);
        foreach (FileEntry file in files)
        {
            string link = file.Type switch
            {
                FileType.Symlink => $" -> {Text.Plain(file.Link ?? "")}",
                FileType.HardLink => $" = {Text.Plain(file.Link ?? "")}",
                _ => "",
            };
            string bytes = file.Size.ToString(CultureInfo.InvariantCulture).PadLeft(size);
            string path = file.RawPath == "" ? "." : Text.Plain(file.Path);
            writer.WriteLine($"{Mode(file)} {Owner(file).PadRight(owner)} {bytes} {Text.Time(Time(file), zone)} {path}{link}");
        }
    }

    /// <summary>A header may carry any number; what no calendar holds is shown as its nearest end.</summary>
    public static DateTimeOffset Time(FileEntry file)
    {
        decimal least = DateTimeOffset.MinValue.AddDays(2).ToUnixTimeSeconds(), most = DateTimeOffset.MaxValue.AddDays(-2).ToUnixTimeSeconds();
        decimal ticks = Math.Clamp(file.Mtime, least, most) * TimeSpan.TicksPerSecond;
        return DateTimeOffset.UnixEpoch.AddTicks((long)decimal.Floor(ticks));
    }

    private static string Owner(FileEntry file) => string.Create(CultureInfo.InvariantCulture, $"{file.Uid}:{file.Gid}");

    /// <summary>Such as <c>-rwsr-xr-x</c>.</summary>
    public static string Mode(FileEntry file)
    {
        Span<char> text = stackalloc char[10];
        text[0] = file.Type switch
        {
            FileType.File => '-',
            FileType.Directory => 'd',
            FileType.Symlink => 'l',
            FileType.HardLink => 'h',
            FileType.Fifo => 'p',
            FileType.CharDevice => 'c',
            FileType.BlockDevice => 'b',
            _ => '?',
        };
        for (int i = 0; i < 9; i++) text[i + 1] = (file.Mode & (0x100 >> i)) != 0 ? "rwx"[i % 3] : '-';
        Special(text, 3, file.Mode & 0x800, 's');
        Special(text, 6, file.Mode & 0x400, 's');
        Special(text, 9, file.Mode & 0x200, 't');
        return text.ToString();
    }

    private static void Special(Span<char> text, int at, int set, char letter)
    {
        if (set != 0) text[at] = text[at] == 'x' ? letter : char.ToUpperInvariant(letter);
    }
}
