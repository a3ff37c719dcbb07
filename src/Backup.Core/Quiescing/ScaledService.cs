using Backup.Environments;

namespace Backup.Quiescing;

/// <summary>The way back of a Swarm service that was scaled to 0: its count, and then its tasks.</summary>
internal static class ScaledService
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    /// <summary>Idempotent: a service that has a count is somebody else's case.</summary>
    internal static async Task<Undone> UndoAsync(UndoEntry entry, HeldService held, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        while (true)
        {
            if (await environment.FindServiceAsync(held.Id, cancel) is not { } now) return new Undone($"the service {held.Name} no longer exists: nothing to bring back");
            if (now.Replicas == 0)
            {
                if (await environment.ScaleAsync(held.Id, 0, held.Replicas, cancel)) return new Undone($"scaled {held.Name} back to {held.Replicas}");
                continue;
            }
            // The request of a run that was killed may reach the engine a moment after its death.
            TimeSpan age = context.Now - entry.At;
            if (now.Replicas != held.Replicas) return new Undone($"{held.Name} was scaled to {now.Replicas} by somebody else: left alone", Disturbed: true);
            if (age < TimeSpan.Zero || age > Undoing.Margin) return new Undone($"{held.Name} has its count of {held.Replicas}", Disturbed: true);
            await Task.Delay(Poll, context.Time, cancel);
        }
    }

    /// <summary>
    /// Waits until as many tasks run as did before, one of them here, where the volume is. Swarm counts those with a health check when they are healthy.
    /// Never throws for the world's failures.
    /// </summary>
    /// <param name="before">As it was before it was scaled to 0.</param>
    /// <param name="hurry">Ends the waiting: what is known then is the answer.</param>
    internal static async Task<Recovery> WatchAsync(ServiceFacts before, IEnvironment environment, RunContext context, TimeSpan limit, CancellationToken hurry)
    {
        long owed = Math.Min(before.RunningTasks, before.Replicas);
        long started = context.Time.GetTimestamp();
        while (true)
        {
            bool last = context.Time.GetElapsedTime(started) >= limit || hurry.IsCancellationRequested;
            string problem;
            try
            {
                // What somebody removed or scaled meanwhile is theirs; what did not run before owes nothing.
                if (owed == 0 || await environment.FindServiceAsync(before.Id, hurry) is not { } now || now.Replicas != before.Replicas) return new Recovery(before.Name, null, null);
                IReadOnlyList<ContainerFacts> here = await HereAsync(before, environment, hurry);
                if (now.RunningTasks >= owed && here.Count > 0 && here.All(t => t.Health is null or "healthy"))
                    return new Recovery(before.Name, here.All(t => t.Health is null) ? null : "healthy", null);
                problem = now.RunningTasks < owed ? $"{before.Name} was scaled back to {before.Replicas} and has {now.RunningTasks} of {owed} tasks running {limit.TotalSeconds:0.#} s later"
                    : here.Count == 0 ? $"{before.Name} was scaled back to {before.Replicas} and came back on other nodes, without what is on this one"
                    : $"{before.Name} was scaled back to {before.Replicas} and is not healthy here {limit.TotalSeconds:0.#} s later";
            }
            catch (EnvironmentException e)
            {
                problem = $"whether {before.Name} runs again could not be asked: {e.Problem}";
            }
            catch (OperationCanceledException) when (hurry.IsCancellationRequested)
            {
                return new Recovery(before.Name, null, null);
            }
            if (last) return new Recovery(before.Name, null, problem) { Hint = $"See what keeps its tasks from running: docker service ps {before.Name}" };
            await Task.Delay(Poll, context.Time, hurry).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }

    /// <summary>Its running tasks on this engine.</summary>
    private static async Task<IReadOnlyList<ContainerFacts>> HereAsync(ServiceFacts service, IEnvironment environment, CancellationToken cancel)
    {
        var tasks = new List<ContainerFacts>();
        foreach (ContainerSight sight in await environment.ListContainersAsync(cancel))
            if (sight.Running && sight.ServiceId == service.Id && await environment.FindContainerAsync(sight.Id, cancel) is { Running: true } task) tasks.Add(task);
        return tasks;
    }
}
