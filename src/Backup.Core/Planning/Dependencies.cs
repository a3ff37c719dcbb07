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
        Dictionary<string, QuiesceStep> steps = WithCompanions(asked);
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

    /// <summary>Whoever has to be stopped because another one is: it lives in that one's namespaces, or compose is told to restart it with that one.</summary>
    private Dictionary<string, QuiesceStep> WithCompanions(IEnumerable<QuiesceStep> asked)
    {
        Dictionary<string, QuiesceStep> steps = asked.ToDictionary(s => s.Container.Id);
        var open = new Queue<QuiesceStep>(steps.Values.Where(s => s.Mode == QuiesceMode.Stop));
        while (open.TryDequeue(out QuiesceStep? stopped))
        {
            List<ContainerFacts> sharers = Sharers(stopped.Container);
            if (sharers.Find(IsBound) is { } bound)
            {
                steps[stopped.Container.Id] = stopped with
                {
                    Mode = QuiesceMode.Pause, Reason = $"paused instead of stopped, because {bound.Name} lives in its namespaces, and {WhyBound(bound, "that one")}",
                };
                continue;
            }
            foreach (ContainerFacts sharer in sharers) Stop(sharer, $"lives in the namespaces of {stopped.Container.Name}, which is stopped");
            foreach (ContainerFacts dependent in containers.Where(c => c.Running && On(c, stopped.Container) is { Restart: true }))
            {
                if (Sharers(dependent).Prepend(dependent).FirstOrDefault(IsBound) is { } fixedOne)
                    steps[stopped.Container.Id] = steps[stopped.Container.Id] with { Reason = $"{steps[stopped.Container.Id].Reason}; {dependent.Name} is not restarted with it, because {WhyBound(fixedOne, fixedOne.Name)}" };
                else
                    Stop(dependent, $"depends on {stopped.Container.Name} with restart: true, so it is stopped before and started after it");
            }
        }
        return steps;

        void Stop(ContainerFacts companion, string reason)
        {
            QuiesceStep? known = steps.GetValueOrDefault(companion.Id);
            if (known?.Mode == QuiesceMode.Stop) return;
            open.Enqueue(steps[companion.Id] = new QuiesceStep(companion, QuiesceMode.Stop, known?.Hooks ?? [], reason));
        }
    }

    private static bool IsBound(ContainerFacts container) => container.AutoRemove || container.CarriesConnection;

    private static string WhyBound(ContainerFacts bound, string called) => bound.AutoRemove ? $"a stop would delete {called} (--rm)" : $"{called} carries the connection";

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
            Dependency? dependency = On(container, other);
            if (shares || dependency is not null) yield return (other, dependency?.Condition == Healthy);
        }
    }

    private static bool Shares(ContainerFacts container, ContainerFacts with) => container.SharesWith.Any(s => s == with.Id || s == with.Name);

    /// <param name="Restart">Compose restarts the dependent with it.</param>
    private sealed record Dependency(string Condition, bool Restart);

    /// <summary>The label is <c>service:condition:restart,…</c>; older versions of compose wrote only the service. Null = no dependency.</summary>
    private static Dependency? On(ContainerFacts container, ContainerFacts on)
    {
        if (container.ComposeProject is not { } project || project != on.ComposeProject || on.ComposeService is not { } service
            || !container.Labels.TryGetValue(DependsOnLabel, out string? text)) return null;
        string[]? found = text.Split(',', StringSplitOptions.TrimEntries).Select(d => d.Split(':')).FirstOrDefault(d => d[0] == service);
        return found is null ? null : new Dependency(found.ElementAtOrDefault(1) ?? "service_started", found.ElementAtOrDefault(2) == "true");
    }
}
