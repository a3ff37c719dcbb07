using System.Collections.Concurrent;
using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>The environments and stores of a policy, opened when first asked for, by name.</summary>
public sealed class Backends(
    Policy policy,
    Func<EnvironmentPolicy, IEnvironment> openEnvironment,
    Func<StorePolicy, ISnapshotStore> openStore) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<IEnvironment>> _environments = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lazy<ISnapshotStore>> _stores = new(StringComparer.Ordinal);

    public Policy Policy => policy;

    /// <summary>The policies of the named environments; all of them when no name is given.</summary>
    /// <exception cref="BackupException">NotFound.</exception>
    public IReadOnlyList<EnvironmentPolicy> Select(IReadOnlyList<string> names) =>
        names.Count == 0 ? policy.Environments : [.. names.Distinct(StringComparer.Ordinal).Select(PolicyOf)];

    /// <exception cref="BackupException">NotFound.</exception>
    public EnvironmentPolicy PolicyOf(string name) =>
        policy.Environments.FirstOrDefault(e => e.Name == name)
        ?? throw new BackupException($"There is no environment \"{name}\" in {policy.Path}.",
            $"It has: {string.Join(", ", policy.Environments.Select(e => e.Name))}.", FailureKind.NotFound);

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
        foreach (Lazy<IEnvironment> environment in _environments.Values)
            if (environment.IsValueCreated) await environment.Value.DisposeAsync();
        foreach (Lazy<ISnapshotStore> store in _stores.Values)
            if (store.IsValueCreated) await store.Value.DisposeAsync();
    }
}
