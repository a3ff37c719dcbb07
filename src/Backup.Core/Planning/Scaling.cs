using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <summary>
/// Tasks of a Swarm service are stopped by scaling it to 0, all of them at once: of one that was stopped by itself, Swarm would start another. Where that
/// cannot be done, or would do harm, it says why.
/// </summary>
internal sealed class Scaling(Inventory inventory)
{
    /// <summary>The service to scale, so that this task stops; null = see <see cref="WhyNot"/>.</summary>
    internal ServiceFacts? ServiceOf(ContainerFacts task) => WhyNot(task) is null ? Service(task) : null;

    /// <summary>Null = it can be scaled.</summary>
    internal string? WhyNot(ContainerFacts task)
    {
        if (inventory.Swarm?.Unread is { } unread) return unread;
        if (Service(task) is not { } service) return "its service is not known";
        if (service.Mode == ServiceMode.Global) return "a global service has no count of tasks";
        if (service.Mode == ServiceMode.Job) return "it is a job, which would begin again";
        if (service.Updating) return "its service is being updated";
        if (!service.Constrained && inventory.Swarm!.Nodes is not 1)
            return "no placement constraint ties it to this node, and it could come back on another one, without what is on this one";
        List<ContainerFacts> tasks = [.. inventory.Containers.Where(c => c.ServiceId == service.Id)];
        if (tasks.Find(t => t.State == "paused") is { } paused) return $"{paused.Name} is paused";
        return inventory.Containers.FirstOrDefault(c => c.Running && c.SharesWith.Any(s => tasks.Any(t => s == t.Id || s == t.Name))) is { } sharer
            ? $"{sharer.Name} lives in its namespaces" : null;
    }

    private ServiceFacts? Service(ContainerFacts task) => inventory.Swarm?.Services.FirstOrDefault(s => s.Id == task.ServiceId);

    /// <summary>The tasks of a service that is scaled become one step; each other container keeps its own.</summary>
    internal static IEnumerable<QuiesceStep> Fold(IEnumerable<QuiesceStep> steps)
    {
        foreach (IGrouping<string, QuiesceStep> same in steps.GroupBy(s => s.Container.ServiceId ?? s.Container.Id))
        {
            if (same.FirstOrDefault(s => s.Service is not null) is not { } scaled)
            {
                foreach (QuiesceStep step in same) yield return step;
            }
            else if (same.FirstOrDefault(s => s.Hooks.Count > 0) is { } hooked)
            {
                foreach (QuiesceStep step in same)
                    yield return step.Service is null ? step : step with { Service = null, Mode = QuiesceMode.Pause, Reason = Paused($"the hooks of {hooked.Container.Name} could not run in the task that comes back") };
            }
            else
            {
                yield return scaled with { Reason = string.Join("; ", same.Where(s => s.Service is not null).Select(s => s.Reason).Distinct()) };
            }
        }
    }

    internal static string Paused(string why) => $"swarm task: paused instead of stopped, because {why}";
}
