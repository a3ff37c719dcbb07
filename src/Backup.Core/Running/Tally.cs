namespace Backup.Running;

/// <summary>Collects what a run comes to, from several tasks at once.</summary>
internal sealed class Tally(RunContext context)
{
    private readonly Lock _gate = new();
    private readonly List<MadeSnapshot> _made = [];
    private readonly List<RunFailure> _failures = [];
    private readonly List<string> _removed = [];
    private readonly List<GroupReport> _groups = [];

    internal void Add(MadeSnapshot made)
    {
        lock (_gate) _made.Add(made);
    }

    internal void Add(GroupReport group)
    {
        lock (_gate) _groups.Add(group);
    }

    internal void AddRemoved(string id)
    {
        lock (_gate) _removed.Add(id);
    }

    /// <summary>Failures are told when they happen, and again in the report.</summary>
    internal void Add(RunFailure failure)
    {
        lock (_gate) _failures.Add(failure);
        context.Events.Report(failure.Volume is null
            ? new RunEvent.Error($"{failure.Environment}: {failure.Problem}", failure.Hint)
            : new RunEvent.VolumeFailed(failure.Environment, failure.Volume, failure.Problem, failure.Hint));
    }

    internal RunReport Report(TimeSpan elapsed)
    {
        lock (_gate)
            return new RunReport([.. _made], [.. _failures], [.. _removed], _made.Sum(m => m.Snapshot.Bytes), _made.Sum(m => m.Snapshot.StoredBytes), elapsed.TotalSeconds)
            {
                Groups = [.. _groups],
            };
    }
}
