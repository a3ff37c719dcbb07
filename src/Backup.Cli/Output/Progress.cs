namespace Backup.Cli.Output;

/// <summary>
/// The moving part of the human output. On a terminal a block of lines at the bottom, redrawn in place at most five times a second;
/// elsewhere one plain line per volume and minute. Callers hold the output's lock.
/// </summary>
internal sealed class Progress(TextWriter writer, TimeProvider time, bool live, Func<int> width)
{
    private const int MostLines = 6;
    private static readonly TimeSpan RedrawEvery = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LineEvery = TimeSpan.FromMinutes(1);
    private readonly Dictionary<string, (VolumeMeter Meter, long SaidAt)> meters = [];
    private int drawn;
    private long drawnAt;

    public void Start(string volume)
    {
        foreach (string done in meters.Where(m => m.Value.Meter.Complete).Select(m => m.Key).ToArray()) meters.Remove(done);
        meters[volume] = (new VolumeMeter(volume, time), time.GetTimestamp());
    }

    public void Update(string volume, long bytes, long? expected)
    {
        if (!meters.ContainsKey(volume)) Start(volume);
        (VolumeMeter meter, long saidAt) = meters[volume];
        meter.Update(bytes, expected);
        if (live)
        {
            if (drawn == 0 || time.GetElapsedTime(drawnAt) >= RedrawEvery) Draw();
        }
        else if (time.GetElapsedTime(saidAt) >= LineEvery)
        {
            meters[volume] = (meter, time.GetTimestamp());
            writer.WriteLine(meter.ToString());
        }
    }

    public void End(string volume)
    {
        Clear();
        meters.Remove(volume);
    }

    /// <summary>Wipes the block, so that an ordinary line can be written; the next draw puts it back below.</summary>
    public void Clear()
    {
        if (drawn == 0) return;
        writer.Write(string.Concat(Enumerable.Repeat("\e[1A\e[2K", drawn)) + "\r");
        drawn = 0;
    }

    public void Draw()
    {
        if (!live || meters.Count == 0) return;
        Clear();
        int columns = Math.Max(20, width() - 1);
        string[] lines = [.. meters.Values.Take(MostLines).Select(m => m.Meter.ToString())];
        if (meters.Count > MostLines) lines = [.. lines, $"and {meters.Count - MostLines} more"];
        // One write, so that the block does not flicker.
        writer.Write(string.Concat(lines.Select(l => (l.Length > columns ? l[..columns] : l) + "\n")));
        drawn = lines.Length;
        drawnAt = time.GetTimestamp();
    }
}
