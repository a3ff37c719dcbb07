using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <summary>Who needs whom among an engine's containers: by compose's depends_on, and by living in the network, pid or ipc namespace of another.</summary>
internal sealed class Dependencies(IReadOnlyList<ContainerFacts> containers)
{
    private const string DependsOnLabel = "com.docker.compose.depends_on";
    private const string Healthy = "service_healthy";

    /// <summary>
    /// Dependents first, else by name; each is told whom it needs. Who lives in the namespaces of a container that is stopped is stopped before it
    /// and started after it, because a restart makes new ones.
    /// </summary>
    internal IReadOnlyList<QuiesceStep> Arrange(IEnumerable<QuiesceStep> asked)
    {
        Dictionary<string, QuiesceStep> steps = WithSharers(asked);
        List<QuiesceStep> rest = [.. steps.Values.OrderBy(s => s.Container.Name, StringComparer.Ordinal)];
        Dictionary<string, HashSet<string>> reach = rest.ToDictionary(s => s.Container.Id, s => Reach(s.Container));
        List<QuiesceStep> order = [];
        while (rest.Count > 0)
        {
            // In a circle of dependencies nobody is free; the first by name goes then.
            QuiesceStep next = rest.Find(s => !rest.Any(other => other != s && reach[other.Container.Id].Contains(s.Container.Id))) ?? rest[0];
            rest.Remove(next);
            IEnumerable<Need> needs = rest.Where(later => reach[next.Container.Id].Contains(later.Container.Id))
                .Select(later => new Need(later.Container.Id, Direct(next.Container).Any(d => d.On.Id == later.Container.Id && d.Healthy)));
            order.Add(next with { Needs = [.. needs] });
        }
        return order;
    }

    private Dictionary<string, QuiesceStep> WithSharers(IEnumerable<QuiesceStep> asked)
    {
        Dictionary<string, QuiesceStep> steps = asked.ToDictionary(s => s.Container.Id);
        foreach (QuiesceStep stopped in steps.Values.Where(s => s.Mode == QuiesceMode.Stop).ToList())
        {
            List<ContainerFacts> sharers = Sharers(stopped.Container);
            if (sharers.Find(s => s.AutoRemove || s.CarriesConnection) is { } bound)
            {
                steps[stopped.Container.Id] = stopped with
                {
                    Mode = QuiesceMode.Pause,
                    Reason = $"paused instead of stopped, because {bound.Name} lives in its namespaces, and "
                        + (bound.AutoRemove ? "a stop would delete that one (--rm)" : "that one carries the connection"),
                };
                continue;
            }
            foreach (ContainerFacts sharer in sharers)
                if (steps.GetValueOrDefault(sharer.Id) is not { Mode: QuiesceMode.Stop } known)
                    steps[sharer.Id] = new QuiesceStep(sharer, QuiesceMode.Stop, steps.GetValueOrDefault(sharer.Id)?.Hooks ?? [],
                        $"lives in the namespaces of {stopped.Container.Name}, which is stopped");
        }
        return steps;
    }

    /// <summary>Running containers that live in a namespace of this one, and those that live in theirs.</summary>
    private List<ContainerFacts> Sharers(ContainerFacts of)
    {
        List<ContainerFacts> found = [of];
        for (int i = 0; i < found.Count; i++)
            found.AddRange(containers.Where(c => c.Running && !found.Contains(c) && Shares(c, found[i])));
        return found[1..];
    }

    private HashSet<string> Reach(ContainerFacts from)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var open = new Queue<ContainerFacts>([from]);
        while (open.TryDequeue(out ContainerFacts? at))
            foreach ((ContainerFacts on, _) in Direct(at))
                if (seen.Add(on.Id)) open.Enqueue(on);
        return seen;
    }

    private IEnumerable<(ContainerFacts On, bool Healthy)> Direct(ContainerFacts container)
    {
        foreach (ContainerFacts other in containers.Where(c => c.Id != container.Id))
        {
            bool shares = Shares(container, other);
            string? condition = Condition(container, other);
            if (shares || condition is not null) yield return (other, condition == Healthy);
        }
    }

    private static bool Shares(ContainerFacts container, ContainerFacts with) => container.SharesWith.Any(s => s == with.Id || s == with.Name);

    /// <summary>The label is <c>service:condition:restart,…</c>; older versions of compose wrote only the service. Null = no dependency.</summary>
    private static string? Condition(ContainerFacts container, ContainerFacts on)
    {
        if (container.ComposeProject is not { } project || project != on.ComposeProject || on.ComposeService is not { } service
            || !container.Labels.TryGetValue(DependsOnLabel, out string? text)) return null;
        string[]? found = text.Split(',', StringSplitOptions.TrimEntries).Select(d => d.Split(':')).FirstOrDefault(d => d[0] == service);
        return found is null ? null : found.ElementAtOrDefault(1) ?? "service_started";
    }
}
