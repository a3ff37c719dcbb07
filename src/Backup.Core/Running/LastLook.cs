using Backup.Environments;
using Backup.Quiescing;

namespace Backup.Running;

/// <summary>
/// One more look, when the run of an environment is over, at those who were brought back: many a container dies of its start only a while later.
/// </summary>
internal static class LastLook
{
    /// <param name="groups">In the order of their runs: who was held twice is judged by the last time.</param>
    internal static async Task RunAsync(RunScene scene, IReadOnlyList<GroupBackup> groups, CancellationToken cancel)
    {
        List<Quiescence> held = [.. groups.Select(g => g.Held).OfType<Quiescence>().Reverse()];
        if (held.Count == 0) return;
        try
        {
            IReadOnlyList<ContainerSight> now = await scene.Environment.ListContainersAsync(cancel);
            var asked = new HashSet<string>(StringComparer.Ordinal);
            foreach (Quiescence quiescence in held)
                foreach (Recovery down in await quiescence.LookAgainAsync(now, asked, cancel)) scene.Tally.Add(Blame.Failure(scene.Environment.Name, down));
        }
        catch (EnvironmentException e)
        {
            scene.Context.Events.Report(new RunEvent.Warning($"{scene.Environment.Name}: whether all containers that were brought back still run could not be asked: {e.Problem}", e.Hint));
        }
    }
}
