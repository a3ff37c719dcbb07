using System.Collections.Concurrent;
using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>The environments and stores of a policy, opened when first asked for, by name.</summary>
/// <param name="expand">Needed for a policy with an entry that stands for all of a Portainer.</param>
public sealed class Backends(
    Policy policy,
    Func<EnvironmentPolicy, IEnvironment> openEnvironment,
    Func<StorePolicy, ISnapshotStore> openStore,
    Backends.Expand? expand = null) : IAsyncDisposable
{
    /// <summary>What stands now in the place of an entry that stands for all of a Portainer; the entry itself where that Portainer does not answer.</summary>
    /// <param name="others">Environments whose names are taken.</param>
    public delegate Task<IReadOnlyList<EnvironmentPolicy>> Expand(EnvironmentPolicy template, IReadOnlyList<EnvironmentPolicy> others, CancellationToken cancel);

    private readonly SemaphoreSlim _expanding = new(1, 1);
    private IReadOnlyList<EnvironmentPolicy> _known = policy.Environments;
    private bool _expanded = !policy.Environments.Any(e => e.IsTemplate);

    private readonly ConcurrentDictionary<string, Lazy<IEnvironment>> _environments = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lazy<ISnapshotStore>> _stores = new(StringComparer.Ordinal);

    public Policy Policy => policy;

    /// <summary>
    /// The environments of these names, all of them when no name is given. An entry that stands for all of a Portainer is asked for what is there
    /// now, unless only others are named, and its own name means all of these; where that Portainer does not answer, the entry itself is returned,
    /// and whoever opens it is told why.
    /// </summary>
    /// <exception cref="BackupException">NotFound. Usage: a secret that the question needs cannot be read.</exception>
    public async Task<IReadOnlyList<EnvironmentPolicy>> SelectAsync(IReadOnlyList<string> names, CancellationToken cancel)
    {
        if (names.Count == 0 || !names.All(n => policy.Environments.Any(e => e.Name == n && !e.IsTemplate))) await ExpandAsync(cancel);
        if (names.Count == 0) return _known;
        return [.. names.SelectMany(Of).DistinctBy(e => e.Name)];

        IEnumerable<EnvironmentPolicy> Of(string name) =>
            policy.Environments.Any(e => e.Name == name && e.IsTemplate) && _known.All(e => e.Name != name) ? _known.Where(e => e.Template == name) : [PolicyOf(name)];
    }

    private async Task ExpandAsync(CancellationToken cancel)
    {
        if (_expanded) return;
        await _expanding.WaitAsync(cancel);
        try
        {
            if (_expanded) return;
            List<EnvironmentPolicy> known = [.. policy.Environments.Where(e => !e.IsTemplate)];
            foreach (EnvironmentPolicy template in policy.Environments.Where(e => e.IsTemplate))
                known.AddRange(await expand!(template, known, cancel));
            (_known, _expanded) = (known, true);
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

    /// <exception cref="BackupException">NotFound.</exception>
    public EnvironmentPolicy PolicyOf(string name) =>
        _known.FirstOrDefault(e => e.Name == name) ?? policy.Environments.FirstOrDefault(e => e.Name == name)
        ?? throw (_expanded && _known.FirstOrDefault(e => e.IsTemplate) is { } silent
            ? new BackupException($"There is no environment \"{name}\" in {policy.Path}, and for which ones \"{silent.Name}\" stands is not known: its Portainer does not answer.",
                $"`backup check {silent.Name}` says why.")
            : new BackupException($"There is no environment \"{name}\" in {policy.Path}.",
                $"It has: {string.Join(", ", _known.Select(e => e.Name))}.", FailureKind.NotFound));

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
