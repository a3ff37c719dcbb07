using Backup.Cli.Systemd;
using Backup.Running;
using Backup.Snapshots;

namespace Backup.Cli.Output;

/// <summary>For people: results on stdout, progress and messages on stderr.</summary>
internal sealed class HumanOutput : IOutput
{
    private const string Red = "\e[31m", Yellow = "\e[33m";
    private readonly Surroundings surroundings;
    private readonly bool quiet;
    private readonly bool verbose;
    private readonly Lock gate = new();
    private readonly Progress progress;
    private readonly ITimer? redraw;
    private RunReport? ran;
    private bool cutShort;
    private int removed;

    public HumanOutput(Surroundings surroundings, bool quiet, bool verbose)
    {
        (this.surroundings, this.quiet, this.verbose) = (surroundings, quiet, verbose);
        progress = new Progress(surroundings.Error, surroundings.Time, surroundings.Live, surroundings.Width);
        // While nothing happens the block is redrawn all the same, so that a stall shows as a falling rate.
        if (surroundings.Live && !quiet) redraw = surroundings.Time.CreateTimer(_ => Redraw(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    private TextWriter Out => surroundings.Out;
    private TimeZoneInfo Zone => surroundings.Time.LocalTimeZone;
    private DateTimeOffset Now => surroundings.Time.GetUtcNow();

    public void Report(RunEvent value)
    {
        lock (gate)
        {
            switch (value)
            {
                case RunEvent.VolumeProgress e when !quiet:
                    progress.Update($"{e.Environment}/{e.Volume}", e.Bytes, e.Expected);
                    return;
                case RunEvent.VolumeProgress:
                    return;
                case RunEvent.VolumeStarted e:
                    progress.Start($"{e.Environment}/{e.Volume}");
                    break;
                case RunEvent.SnapshotMade e:
                    progress.End($"{e.Snapshot.Environment}/{e.Snapshot.Volume}");
                    break;
                case RunEvent.VolumeFailed e:
                    progress.End($"{e.Environment}/{e.Volume}");
                    break;
                case RunEvent.SnapshotRemoved:
                    removed++;
                    break;
                case RunEvent.Report e:
                    ran = e.Result;
                    return;
                case RunEvent.Warning e:
                    Labelled("warning", Yellow, e.Problem, e.Hint);
                    return;
                case RunEvent.Error e:
                    Labelled("error", Red, e.Problem, e.Hint);
                    return;
            }
            if (!quiet && EventText.Of(value, verbose) is { } line) Line(line);
        }
    }

    public void Error(string problem, string hint)
    {
        lock (gate)
        {
            cutShort = true;
            Labelled("error", Red, problem, hint);
        }
    }

    public void Message(string text)
    {
        lock (gate)
            if (!quiet) Line(text);
    }

    public void Plan(PlanReport report) => Result(() => PlanText.Write(Out, report, Zone, verbose), report.Failures);
    public void Snapshots(SnapshotListing listing) => Result(() => ListingText.Write(Out, listing, Zone, Now), listing.Failures, listing.Damaged);
    public void Files(IReadOnlyList<FileEntry> files) => Result(() => FilesText.Write(Out, files, Zone), []);
    public void Verified(VerifyReport report, bool readData) => Result(() => VerifyText.Write(Out, report, readData), report.Failures, report.Damaged);
    public void Pruned(PruneReport report, bool dryRun) => Result(() => RetentionText.Write(Out, report, Zone, dryRun ? null : removed), report.Failures);
    public void Recovered(RecoverReport report) => Result(() => ReportText.Write(Out, report), report.Failures);
    public void Status(StatusReport report) => Result(() => ListingText.Write(Out, report, Zone), report.Failures);
    public void Checked(CheckReport report) => Result(() => ReportText.Write(Out, report), []);
    public void Restored(RestorePlan plan, RestoreReport report) => Result(() => ReportText.Write(Out, plan, report), []);
    public void Done(IReadOnlyList<string> lines) => Result(() => ReportText.Write(Out, lines), []);

    public void Units(IReadOnlyList<UnitFile> units, string directory) => Result(
        () =>
        {
            foreach (UnitFile unit in units) Out.Write($"# {directory}/{unit.Name}\n{unit.Text}\n");
        },
        []);

    public void RestorePlan(RestorePlan plan, bool asResult)
    {
        if (asResult) Result(() => RestoreText.Write(Out, plan, Zone), []);
        else if (!quiet) RestoreText.Write(surroundings.Error, plan, Zone);
    }

    public void Dispose()
    {
        redraw?.Dispose();
        lock (gate)
        {
            progress.Clear();
            if (ran is not null) ReportText.Write(Out, ran, cutShort);
            Out.Flush();
        }
    }

    private void Redraw()
    {
        lock (gate) progress.Draw();
    }

    private void Result(Action write, IReadOnlyList<RunFailure> failures, IReadOnlyList<DamagedManifest>? damaged = null)
    {
        lock (gate)
        {
            progress.Clear();
            write();
            Out.Flush();
            foreach (DamagedManifest manifest in damaged ?? [])
                Labelled("damaged", Red, $"{manifest.Store}: {manifest.Key}: {manifest.Problem}", "");
            foreach (RunFailure failure in failures)
                Labelled("error", Red, $"{ReportText.Where(failure)}{failure.Problem}", failure.Hint);
        }
    }

    private void Line(string text)
    {
        progress.Clear();
        surroundings.Error.WriteLine(Text.Plain(text));
    }

    private void Labelled(string label, string colour, string problem, string hint)
    {
        progress.Clear();
        ErrorText.Write(surroundings.Error, surroundings.Color ? $"{colour}{label}:\e[0m" : $"{label}:", problem, hint);
    }
}
