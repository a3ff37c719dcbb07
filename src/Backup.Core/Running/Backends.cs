using System.Collections.Concurrent;
using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>The environments and stores of a policy, opened when first asked for, by name.</summary>
/// <param name="expand">Needed for a policy with an entry that may stand for several.</param>
public sealed class Backends(
    Policy policy,
    Func<EnvironmentPolicy, IEnvironment> openEnvironment,
    Func<StorePolicy, ISnapshotStore> openStore,
    Backends.Expand? expand = null) : IAsyncDisposable
{
    /// <summary>
    /// What stands now in the place of one that may stand for several: all environments of a Portainer, all nodes of a Swarm. Itself where it is one;
    /// itself, silent, where nobody answers.
    /// </summary>
    /// <param name="others">Environments whose names are taken.</param>
    public delegate Task<IReadOnlyList<EnvironmentPolicy>> Expand(EnvironmentPolicy environment, IReadOnlyList<EnvironmentPolicy> others, CancellationToken cancel);

    private readonly SemaphoreSlim _expanding = new(1, 1);

    /// <summary>By name: what stands in its place, once that was asked.</summary>
    private readonly ConcurrentDictionary<string, IReadOnlyList<EnvironmentPolicy>> _expanded = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<string, Lazy<IEnvironment>> _environments = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lazy<ISnapshotStore>> _stores = new(StringComparer.Ordinal);

    public Policy Policy => policy;

    /// <summary>
    /// The environments of these names, all of them when no name is given. An entry that may stand for several is asked for what is there now, unless
    /// only others are named, and its own name means all of these; where nobody answers, the entry itself is returned, and whoever opens it is told why.
    /// </summary>
    /// <exception cref="BackupException">NotFound. Usage: a secret that the question needs cannot be read.</exception>
    public async Task<IReadOnlyList<EnvironmentPolicy>> SelectAsync(IReadOnlyList<string> names, CancellationToken cancel)
    {
        if (names.Count == 0)
        {
            await ExpandAsync(_ => true, cancel);
            return [.. Known];
        }
        var selected = new List<EnvironmentPolicy>();
        foreach (string name in names)
        {
            if (Entry(name) is { IsTemplate: false }) await ExpandAsync(e => e.Name == name, cancel);
            else if (Entry(name) is not null) await ExpandAsync(e => e.IsTemplate || e.Template == name, cancel);
            else
            {
                // A node's name tells of what; any other can only come out of a template, and may be that of a Swarm there, or of a node of one.
                await ExpandAsync(e => EnvironmentNames.CanBeNode(e, name), cancel);
                if (!Known.Any(e => e.Name == name)) await ExpandAsync(e => e.IsTemplate || e.Name == name || EnvironmentNames.CanBeNode(e, name), cancel);
            }
            selected.AddRange(Of(name));
        }
        return [.. selected.DistinctBy(e => e.Name)];
    }

    private EnvironmentPolicy? Entry(string name) => policy.Environments.FirstOrDefault(e => e.Name == name);

    /// <summary>The policy's environments, or what stands in their place as far as it was asked; templates last, whose names give way to others.</summary>
    private IEnumerable<EnvironmentPolicy> Known => policy.Environments.OrderBy(e => e.IsTemplate).SelectMany(StandingFor);

    private IEnumerable<EnvironmentPolicy> StandingFor(EnvironmentPolicy one) =>
        _expanded.TryGetValue(one.Name, out IReadOnlyList<EnvironmentPolicy>? several) ? several.SelectMany(s => s.Name == one.Name ? [s] : StandingFor(s)) : [one];

    /// <summary>The environment of this name, or all that it stands for.</summary>
    private IReadOnlyList<EnvironmentPolicy> Of(string name)
    {
        if (Known.FirstOrDefault(e => e.Name == name) is { } one) return [one];
        EnvironmentPolicy[] several = [.. Known.Where(e => e.Template == name || e.Swarm == name)];
        return several.Length > 0 || Entry(name) is not null ? several : [PolicyOf(name)];
    }

    /// <summary>Asks only for those that are wanted: who does not answer takes the time of all that wait for it.</summary>
    private async Task ExpandAsync(Func<EnvironmentPolicy, bool> wanted, CancellationToken cancel)
    {
        await _expanding.WaitAsync(cancel);
        try
        {
            // One after the other: each may have what another has, and the first gets the name.
            foreach (EnvironmentPolicy template in policy.Environments.Where(e => e.IsTemplate && !_expanded.ContainsKey(e.Name) && wanted(e)))
                _expanded[template.Name] = await expand!(template, [.. policy.Environments.Where(e => !e.IsTemplate), .. Known.Where(e => e.Template is { } of && Entry(of)!.IsTemplate)], cancel);
            EnvironmentPolicy[] others = [.. policy.Environments, .. Known.Where(e => e.Template is not null)];
            EnvironmentPolicy[] swarms = [.. Known.Where(e => e is { MayBeSeveral: true, IsTemplate: false } && !_expanded.ContainsKey(e.Name) && wanted(e))];
            await Task.WhenAll(swarms.Select(async e => _expanded[e.Name] = await expand!(e, others, cancel)));
        }
        finally
        {
            _expanding.Release();
        }
    }

    /// <summary>The entries of these names as they stand in the policy; all of them when no name is given.</summary>
    /// <exception cref="BackupException">NotFound.</exception>
    public IReadOnlyList<EnvironmentPolicy> Select(IReadOnlyList<string> names) =>
        names.Count == 0 ? policy.Environments : [.. names.Distinct(StringComparer.Ordinal).Select(PolicyOf)];

    /// <exception cref="BackupException">NotFound. Usage: it stands for several.</exception>
    public EnvironmentPolicy PolicyOf(string name)
    {
        if (Known.FirstOrDefault(e => e.Name == name) is { } one) return one;
        string[] several = [.. Known.Where(e => e.Template == name || e.Swarm == name).Select(e => e.Name)];
        if (several.Length > 0)
            throw new BackupException($"\"{name}\" stands for others, and one is needed.", $"Name it: {string.Join(", ", several)}.", FailureKind.Usage);
        if (Known.FirstOrDefault(e => e.Silent && (e.IsTemplate || EnvironmentNames.CanBeNode(e, name))) is { } silent)
            throw new BackupException($"There is no environment \"{name}\" in {policy.Path}, and for which ones \"{silent.Name}\" stands is not known: its Portainer does not answer.",
                $"`backup check {silent.Name}` says why.");
        throw new BackupException($"There is no environment \"{name}\" in {policy.Path}.", $"It has: {string.Join(", ", Known.Select(e => e.Name))}.", FailureKind.NotFound);
    }

    /// <summary>The environment of this name, after whoever may stand for it was asked.</summary>
    /// <exception cref="BackupException">As for <see cref="SelectAsync"/> and <see cref="PolicyOf"/>.</exception>
    public async Task<IEnvironment> EnvironmentAsync(string name, CancellationToken cancel)
    {
        _ = await SelectAsync([name], cancel);
        return Environment(name);
    }

    /// <summary>One that was selected.</summary>
    public IEnvironment Environment(string name) =>
        _environments.GetOrAdd(name, n => new Lazy<IEnvironment>(() => openEnvironment(PolicyOf(n)))).Value;

    public ISnapshotStore Store(string name) =>
        _stores.GetOrAdd(name, n => new Lazy<ISnapshotStore>(() => openStore(
            policy.Stores.FirstOrDefault(s => s.Name == n)
            ?? throw new BackupException($"There is no store \"{n}\" in {policy.Path}.",
                $"It has: {string.Join(", ", policy.Stores.Select(s => s.Name))}.", FailureKind.NotFound)))).Value;

    /// <summary>The stores that hold, or may hold, snapshots of an environment.</summary>
    public static IReadOnlyList<string> StoresOf(EnvironmentPolicy environment) =>
        [.. environment.Rules.Select(r => r.Store).OfType<string>().Prepend(environment.Default.Store).Distinct(StringComparer.Ordinal)];

    /// <summary>Reads every secret that work with these environments needs, so that a wrong one is told before anything is touched.</summary>
    /// <exception cref="BackupException">Usage: names the secret, its place in the policy, and the cure.</exception>
    public void RequireSecrets(IEnumerable<EnvironmentPolicy> environments)
    {
        foreach (EnvironmentPolicy environment in environments)
        {
            foreach (Secret secret in environment.Connect.Secrets) _ = secret.Read();
            foreach (S3StorePolicy store in policy.Stores.OfType<S3StorePolicy>().Where(s => StoresOf(environment).Contains(s.Name)))
            {
                _ = store.AccessKeyId.Read();
                _ = store.SecretAccessKey.Read();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        _expanding.Dispose();
        foreach (Lazy<IEnvironment> environment in _environments.Values)
            if (environment.IsValueCreated) await environment.Value.DisposeAsync();
        foreach (Lazy<ISnapshotStore> store in _stores.Values)
            if (store.IsValueCreated) await store.Value.DisposeAsync();
    }
}
