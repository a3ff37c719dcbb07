using System.Net;
using System.Text.Json.Nodes;

namespace Backup.Environments;

/// <summary>The services of the swarm that an engine is a manager of: their facts, and their count of tasks.</summary>
internal sealed class SwarmServices(DockerApi api, RunContext context)
{
    /// <summary>Added to the time that a service's tasks may take to stop.</summary>
    private static readonly TimeSpan StopMargin = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan EngineStopTimeout = TimeSpan.FromSeconds(10), Poll = TimeSpan.FromMilliseconds(100);

    /// <summary>A manager hears of the end of a task a moment later, and of one on a node that is down never.</summary>
    private static readonly TimeSpan Hearsay = TimeSpan.FromSeconds(5);

    /// <summary>A service that is changed all the time by others is somebody else's case in the end.</summary>
    private const int Tries = 10;

    /// <summary>What the engine says of a spec that somebody else changed since it was read. Its status is that of a bug of its own.</summary>
    internal const string Outdated = "out of sequence";

    internal async Task<SwarmFacts> ReadAsync(InfoAnswer info, CancellationToken cancel)
    {
        try
        {
            return new SwarmFacts(info.Swarm?.Nodes, [.. (await api.ServicesAsync(null, cancel).ConfigureAwait(false)).Select(Facts)]);
        }
        catch (EngineRefusalException e)
        {
            return new SwarmFacts(null, [], e.Status == HttpStatusCode.ServiceUnavailable ? "this node is not a manager of the swarm" : e.Problem);
        }
    }

    internal async Task<ServiceFacts?> FindAsync(string id, CancellationToken cancel) => await AnswerAsync(id, cancel).ConfigureAwait(false) is { } found ? Facts(found) : null;

    internal async Task<bool> ScaleAsync(string id, long from, long to, CancellationToken cancel)
    {
        for (int attempt = 1; ; attempt++)
        {
            ServiceAnswer now = await AnswerAsync(id, cancel).ConfigureAwait(false)
                ?? throw new EnvironmentException(api.Http.Environment, $"there is no service {id} in the swarm", "list what is there with: docker service ls", FailureKind.NotFound);
            ServiceFacts facts = Facts(now);
            if (facts.Mode != ServiceMode.Replicated)
                throw new EnvironmentException(api.Http.Environment, $"the service {facts.Name} has no count of tasks", "only a replicated service can be scaled");
            if (facts.Replicas != from) return false;
            var spec = (JsonObject)now.Spec.DeepClone();
            Replicated(spec)!["Replicas"] = to;
            try
            {
                await api.UpdateServiceAsync(now, spec, $"scale the service {facts.Name} to {to}", cancel).ConfigureAwait(false);
            }
            catch (EngineRefusalException e) when (attempt < Tries && e.Problem.Contains(Outdated, StringComparison.Ordinal))
            {
                await Task.Delay(Poll, context.Time, cancel).ConfigureAwait(false);
                continue;
            }
            if (to == 0) await EndAsync(now, facts.Name, cancel).ConfigureAwait(false);
            return true;
        }
    }

    private async Task<ServiceAnswer?> AnswerAsync(string id, CancellationToken cancel) =>
        (await api.ServicesAsync(id, cancel).ConfigureAwait(false)).FirstOrDefault(s => s.Id == id);

    /// <summary>Polls rather than waits: there is nothing to wait at. Tasks that ended, and still count as running, would be taken for the next ones.</summary>
    private async Task EndAsync(ServiceAnswer service, string name, CancellationToken cancel)
    {
        TimeSpan patience = StopMargin + (service.Spec["TaskTemplate"]?["ContainerSpec"]?["StopGracePeriod"] is JsonValue period ? TimeSpan.FromMicroseconds((long)period / 1000) : EngineStopTimeout);
        if (!await WithinAsync(patience, async () => !await RunsHereAsync(service.Id, cancel).ConfigureAwait(false), cancel).ConfigureAwait(false))
            throw new EnvironmentException(api.Http.Environment, $"tasks of the service {name} still run {patience.TotalSeconds:0} s after it was scaled to 0",
                $"see what holds them: docker service ps {name}");
        await WithinAsync(Hearsay, async () => await FindAsync(service.Id, cancel).ConfigureAwait(false) is not { RunningTasks: > 0 }, cancel).ConfigureAwait(false);
    }

    private async Task<bool> RunsHereAsync(string id, CancellationToken cancel) => (await api.ContainersAsync(cancel).ConfigureAwait(false))
        .Any(c => c.Labels?.GetValueOrDefault(ContainerFacts.ServiceLabel) == id && c.State is "running" or "restarting" or "paused");

    /// <summary>False when the limit is over before it is so.</summary>
    private async Task<bool> WithinAsync(TimeSpan limit, Func<Task<bool>> so, CancellationToken cancel)
    {
        for (long started = context.Time.GetTimestamp(); !await so().ConfigureAwait(false);)
        {
            if (context.Time.GetElapsedTime(started) > limit) return false;
            await Task.Delay(Poll, context.Time, cancel).ConfigureAwait(false);
        }
        return true;
    }

    private static ServiceFacts Facts(ServiceAnswer s)
    {
        var mode = s.Spec["Mode"] as JsonObject;
        long? replicas = (long?)Replicated(s.Spec)?["Replicas"];
        return new ServiceFacts(s.Id, (string?)s.Spec["Name"] ?? s.Id,
            replicas is not null ? ServiceMode.Replicated : mode?.ContainsKey("Global") == true ? ServiceMode.Global : ServiceMode.Job, replicas ?? 0, s.ServiceStatus?.RunningTasks ?? 0)
        {
            Updating = s.UpdateStatus?.State is "updating" or "paused" or "rollback_started" or "rollback_paused",
            Constrained = s.Spec["TaskTemplate"]?["Placement"]?["Constraints"] is JsonArray { Count: > 0 },
        };
    }

    private static JsonObject? Replicated(JsonObject spec) => spec["Mode"]?["Replicated"] as JsonObject;
}
