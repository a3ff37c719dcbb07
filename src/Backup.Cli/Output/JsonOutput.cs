using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Backup.Cli.Systemd;
using Backup.Running;
using Backup.Snapshots;
using static Backup.Cli.Output.JsonShaping;

namespace Backup.Cli.Output;

/// <summary>
/// For scripts: on stdout one document for a question, or one event a line with the report as the last. What happens beside an answer is an
/// event on stderr, so that stdout stays one document.
/// </summary>
internal sealed class JsonOutput(Surroundings surroundings, bool question) : IOutput
{
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(1);
    private readonly Lock gate = new();
    private readonly Dictionary<(string, string), long> saidAt = [];
    private readonly List<string> removed = [];
    private RunReport? ran;
    private bool failed;

    private TextWriter EventWriter => question ? surroundings.Error : surroundings.Out;
    private static JsonContext Json => JsonContext.Readable;

    public void Report(RunEvent value)
    {
        lock (gate)
            switch (value)
            {
                case RunEvent.EnvironmentStarted e:
                    Event(new EnvironmentStartedJson("environmentStarted", e.Environment, e.Volumes), Json.EnvironmentStartedJson);
                    break;
                case RunEvent.VolumeStarted e:
                    Event(new VolumeStartedJson("volumeStarted", e.Environment, e.Volume, e.ExpectedBytes), Json.VolumeStartedJson);
                    break;
                case RunEvent.VolumeProgress e when Due(e.Environment, e.Volume):
                    Event(new VolumeProgressJson("progress", e.Environment, e.Volume, e.Bytes, e.Expected), Json.VolumeProgressJson);
                    break;
                case RunEvent.VolumeProgress:
                    break;
                case RunEvent.VolumeSkipped e:
                    Event(new VolumeSkippedJson("volumeSkipped", e.Environment, e.Volume, e.Reason), Json.VolumeSkippedJson);
                    break;
                case RunEvent.VolumeFailed e:
                    Event(new VolumeFailedJson("volumeFailed", e.Environment, e.Volume, e.Problem, e.Hint), Json.VolumeFailedJson);
                    break;
                case RunEvent.SnapshotMade e:
                    Event(new SnapshotMadeJson("snapshot", Made(e.Snapshot, e.DowntimeSeconds), e.Seconds), Json.SnapshotMadeJson);
                    break;
                case RunEvent.ContainerQuiesced e:
                    Event(new ContainerJson("quiesced", e.Environment, e.Container, e.How, null), Json.ContainerJson);
                    break;
                case RunEvent.ContainerResumed e:
                    Event(new ContainerJson("resumed", e.Environment, e.Container, e.How, e.Seconds), Json.ContainerJson);
                    break;
                case RunEvent.SnapshotRemoved e:
                    removed.Add(e.Snapshot.Id);
                    Event(new SnapshotRemovedJson("removed", e.Snapshot.Id, e.Snapshot.Environment, e.Snapshot.Volume, e.Reason), Json.SnapshotRemovedJson);
                    break;
                case RunEvent.Step e:
                    Event(new StepJson("step", e.Text), Json.StepJson);
                    break;
                case RunEvent.Warning e:
                    Event(new ProblemEventJson("warning", e.Problem, e.Hint), Json.ProblemEventJson);
                    break;
                case RunEvent.Error e:
                    Event(new ProblemEventJson("error", e.Problem, e.Hint), Json.ProblemEventJson);
                    break;
                case RunEvent.Report e:
                    ran = e.Result;
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(value), value, null);
            }
    }

    public void Error(string problem, string hint)
    {
        lock (gate)
        {
            failed = true;
            Out(new ProblemEventJson("error", problem, hint), Json.ProblemEventJson);
        }
    }

    public void Message(string text)
    {
        lock (gate) surroundings.Error.WriteLine(text);
    }

    public void Plan(PlanReport report) =>
        Out(new PlanJson([.. report.Environments.Select(Shape)], [.. report.Failures.Select(Shape)]), Json.PlanJson);

    public void Snapshots(SnapshotListing listing)
    {
        Out([.. listing.Snapshots.Select(Shape)], Json.SnapshotJsonArray);
        Beside(listing.Failures, listing.Damaged);
    }

    public void Files(IReadOnlyList<FileEntry> files) => Out([.. files.Select(Shape)], Json.FileJsonArray);

    public void Status(StatusReport report)
    {
        Out([.. report.Volumes.Select(Shape)], Json.StatusJsonArray);
        Beside(report.Failures, []);
    }

    public void Checked(CheckReport report) =>
        Out([.. report.Results.Select(r => new CheckJson(r.Subject, r.Ok, r.Text, r.Hint))], Json.CheckJsonArray);

    public void Units(IReadOnlyList<UnitFile> units, string directory) =>
        Out([.. units.Select(u => new UnitJson($"{directory}/{u.Name}", u.Text))], Json.UnitJsonArray);

    public void Done(IReadOnlyList<string> lines) => Out([.. lines], Json.StringArray);

    public void RestorePlan(RestorePlan plan, bool asResult)
    {
        if (asResult) Out(Shape(plan), Json.RestorePlanJson);
    }

    public void Restored(RestorePlan plan, RestoreReport r) => Out(
        new RestoreReportJson(
            "report", r.Ok, Shape(r.Snapshot), r.Target, r.Files, r.Bytes, r.Seconds, r.DowntimeSeconds, r.Differences, r.Notes,
            [.. r.Failures.Select(Shape)]),
        Json.RestoreReportJson);

    public void Verified(VerifyReport report, bool readData) => Out(
        new VerifyReportJson(
            "report", report.Ok, readData,
            [.. report.Snapshots.Select(s => new VerifiedJson(Shape(s.Snapshot), s.Problems.Count == 0, s.Problems))],
            [.. report.Damaged.Select(Shape)],
            [.. report.Failures.Select(Shape)]),
        Json.VerifyReportJson);

    public void Pruned(PruneReport report, bool dryRun) => Out(
        new PruneReportJson(
            "report", report.Failures.Count == 0, dryRun,
            [.. report.Decisions.Select(Shape)],
            [.. removed],
            report.Collected,
            [.. report.Failures.Select(Shape)]),
        Json.PruneReportJson);

    public void Recovered(RecoverReport report) => Out(
        new RecoverReportJson("report", report.Failures.Count == 0, report.Actions, [.. report.Failures.Select(Shape)]), Json.RecoverReportJson);

    public void Dispose()
    {
        lock (gate)
        {
            if (ran is not { } r) return;
            Out(
                new RunReportJson(
                    "report", r.Ok && !failed, [.. r.Snapshots.Select(Shape)], [.. r.Failures.Select(Shape)], r.Removed,
                    r.BytesRead, r.BytesUploaded, r.Seconds, [.. r.Groups.Select(Shape)]),
                Json.RunReportJson);
        }
    }

    private bool Due(string environment, string volume)
    {
        long now = surroundings.Time.GetTimestamp();
        if (saidAt.TryGetValue((environment, volume), out long last) && surroundings.Time.GetElapsedTime(last, now) < ProgressEvery) return false;
        saidAt[(environment, volume)] = now;
        return true;
    }

    private void Beside(IReadOnlyList<RunFailure> failures, IReadOnlyList<DamagedManifest> damaged)
    {
        foreach (DamagedManifest manifest in damaged)
            Write(surroundings.Error, new ProblemEventJson("error", $"{manifest.Store}: {manifest.Key}: {manifest.Problem}", ""), Json.ProblemEventJson);
        foreach (RunFailure failure in failures)
            Write(surroundings.Error, new ProblemEventJson("error", $"{ReportText.Where(failure)}{failure.Problem}", failure.Hint), Json.ProblemEventJson);
    }

    private void Out<T>(T value, JsonTypeInfo<T> shape) => Write(surroundings.Out, value, shape);

    private void Event<T>(T value, JsonTypeInfo<T> shape) => Write(EventWriter, value, shape);

    private static void Write<T>(TextWriter writer, T value, JsonTypeInfo<T> shape)
    {
        writer.WriteLine(JsonSerializer.Serialize(value, shape));
        writer.Flush();
    }
}
