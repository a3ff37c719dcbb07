using Backup.Planning;
using Backup.Running;
using Backup.Snapshots;

namespace Backup.Cli.Output;

/// <summary>From the engine's records to what scripts read.</summary>
internal static class JsonShaping
{
    public static SnapshotJson Shape(Snapshot s) =>
        new(s.Id, s.Environment, s.Volume, s.TakenAt, s.Format, s.Store, s.Bytes, s.StoredBytes, s.Files, s.Sha256, s.Consistency);

    public static MadeSnapshotJson Shape(MadeSnapshot made) => Made(made.Snapshot, made.DowntimeSeconds);

    public static MadeSnapshotJson Made(Snapshot s, double downtime) =>
        new(s.Id, s.Environment, s.Volume, s.TakenAt, s.Format, s.Store, s.Bytes, s.StoredBytes, s.Files, s.Sha256, s.Consistency, downtime);

    public static FileJson Shape(FileEntry f) => new(
        f.RawPath == "" ? "." : f.Path, f.Type.ToString().ToLowerInvariant(), f.Size, f.Mode, f.Uid, f.Gid, FilesText.Time(f), f.Link);

    public static StatusJson Shape(VolumeStatus v) => new(
        v.Environment, v.Volume, v.LastSnapshot, v.TakenAt, v.AgeSeconds, v.Due, v.Overdue,
        v.Downtime?.LastSeconds, v.Downtime?.MedianSeconds, v.Downtime?.WorstSeconds);

    public static GroupReportJson Shape(GroupReport g) => new(
        g.Environment, g.Group, g.Volumes, g.DowntimeSeconds, g.MaxDowntimeSeconds, g.Exceeded,
        [.. g.Containers.Select(c => new ContainerReportJson(c.Container, c.How, c.From, c.Until, c.Seconds, c.Health))]);

    public static FailureJson Shape(RunFailure f) => new(f.Environment, f.Volume, f.Problem, f.Hint, f.Side, f.NeedsPerson);

    public static DamagedJson Shape(DamagedManifest d) => new(d.Store, d.Key, d.Problem);

    public static DecisionJson Shape(RetentionDecision d) =>
        new(d.Snapshot.Id, d.Snapshot.Environment, d.Snapshot.Volume, d.Snapshot.TakenAt, d.Keep, d.Reasons);

    public static HeldJson Shape(QuiesceStep q) => new(
        q.Name, q.Mode.ToString().ToLowerInvariant(), q.Hooks.FirstOrDefault()?.Before, q.Hooks.FirstOrDefault()?.After, q.Reason,
        [.. q.Hooks.Select(h => new HookJson(h.Before, h.After, h.Timeout.TotalSeconds))]);

    public static GroupPlanJson Shape(GroupStep g) =>
        new(g.Name, g.Why, [.. g.Volumes.Select(v => v.Source.ToString())], [.. g.Quiesce.Select(Shape)],
            g.MaxDowntime?.TotalSeconds, g.Expected?.Seconds, g.Expected?.Source, g.Spool?.Bytes, [.. g.WarmedUp.Select(v => v.Source.ToString())]);

    public static EnvironmentPlanJson Shape(EnvironmentPlan e) => new(
        e.Plan.Environment,
        e.Plan.Engine.Version,
        [.. e.Plan.Volumes.Select(Shape)],
        [.. e.Plan.Skipped.Select(s => new SkippedJson(s.Source.ToString(), s.Reason))],
        [.. e.Plan.Warnings.Select(w => new ProblemJson(w.Problem, w.Hint))],
        [.. e.Retention.Select(Shape)],
        [.. e.Plan.Groups.Select(Shape)],
        [.. e.Plan.Missing.Select(m => m.ToString())],
        [.. e.Plan.Dumps.Select(Shape)]);

    public static DumpPlanJson Shape(DumpStep d) => new(
        d.Source.ToString(), d.Container.Name, d.Policy.Store, d.Preset.Name, d.Method.Words, d.Reason, d.ExpectedBytes, d.ExpectedSource);

    public static VolumePlanJson Shape(VolumeStep v) => new(
        v.Source.ToString(), v.Policy.Store, v.Consistency, v.Note, v.ExpectedBytes, v.ExpectedSource,
        [.. v.Quiesce.Select(Shape)], [.. v.Consumers.Select(c => c.Container)]);

    public static RestorePlanJson Shape(RestorePlan p) => new(
        Shape(p.Snapshot), p.EnvironmentName, p.Target?.ToString(), p.OutputDirectory, p.CreatesVolume, [.. p.Quiesce.Select(Shape)],
        p.HowEmptied, p.Entries is null ? null : [.. p.Entries.Select(e => e.Path)], p.Files, p.Bytes, p.Notes);
}
