using Backup.Environments;
using Backup.Planning;
using Backup.Policies;

namespace Backup.Running;

/// <param name="Subject">Such as <c>environment local</c> or <c>store oss</c>.</param>
/// <param name="Hint">The cure; empty when all is well.</param>
public sealed record CheckResult(string Subject, bool Ok, string Text, string Hint);

public sealed record CheckReport(IReadOnlyList<CheckResult> Results)
{
    public bool Ok => Results.All(r => r.Ok);
}

/// <summary>Reaches every environment and store; writes, reads and deletes a probe object in each store.</summary>
public sealed class CheckRun(RunContext context, Backends backends)
{
    public async Task<CheckReport> RunAsync(IReadOnlyList<string> environments, CancellationToken cancel)
    {
        var results = new List<CheckResult>();
        IReadOnlyList<EnvironmentPolicy> selected = await backends.SelectAsync(environments, cancel);
        foreach (EnvironmentPolicy policy in selected)
        {
            IReadOnlyList<RefusedSource> refused = [];
            await TryAsync($"environment {policy.Name}", results, async () =>
            {
                Inventory inventory = await backends.Environment(policy.Name).InspectAsync(cancel);
                BackupPlan plan = await ProbedPlan.MakeAsync(policy, backends.Environment(policy.Name), inventory, [], [], cancel);
                foreach (PlanWarning warning in plan.Warnings)
                    context.Events.Report(new RunEvent.Warning($"{policy.Name}: {warning.Problem}", warning.Hint));
                if (plan.Missing.Count > 0)
                    throw new BackupException(string.Join(' ', plan.Missing.Select(m => BackupPlan.WhyMissing(m, policy.Name))), BackupPlan.MissingHint, FailureKind.NotFound);
                refused = plan.Refused;
                EngineFacts engine = inventory.Engine;
                return $"engine {engine.Version} on {engine.HostName} (API {engine.ApiVersion}); {plan.Volumes.Count(v => v.Source.Kind == SourceKind.Volume)} of {inventory.Volumes.Count} volumes selected"
                    + (plan.Volumes.Count(v => v.Source.Kind == SourceKind.Bind) is > 0 and var binds ? $", {binds} bind mount{(binds == 1 ? "" : "s")}" : "")
                    + (plan.Dumps.Count > 0 ? $", {plan.Dumps.Count} to be dumped" : "")
                    + (inventory.Through.Length > 0 ? $"; {inventory.Through}" : "");
            });
            results.AddRange(refused.Select(r => new CheckResult($"{policy.Name}/{r.Source}", false, r.Problem, r.Hint)));
        }

        IEnumerable<string> stores = environments.Count == 0
            ? backends.Policy.Stores.Select(s => s.Name)
            : selected.SelectMany(Backends.StoresOf).Distinct(StringComparer.Ordinal);
        foreach (string name in stores)
        {
            await TryAsync($"store {name}", results, async () =>
            {
                await backends.Store(name).ProbeAsync(cancel);
                return $"{backends.Store(name).Location}: a probe object was written, read back and deleted";
            });
        }
        return new CheckReport(results);
    }

    private static async Task TryAsync(string subject, List<CheckResult> results, Func<Task<string>> check)
    {
        try
        {
            results.Add(new CheckResult(subject, true, await check(), ""));
        }
        catch (BackupException e)
        {
            results.Add(new CheckResult(subject, false, e.Problem, e.Hint));
        }
    }
}
