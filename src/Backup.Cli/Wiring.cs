using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.Running;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Stores;

namespace Backup.Cli;

/// <summary>The only place that names every implementation: a new connection, store or format gets its arm here.</summary>
/// <param name="Environment">By its name, its connection, the state directory and the context.</param>
/// <param name="Listing">What there is behind a Portainer server.</param>
/// <param name="Nodes">Those of the Swarm behind a connection; null = one engine is.</param>
internal sealed record Wiring(
    Func<string, ConnectPolicy, string, RunContext, IEnvironment> Environment,
    Func<StorePolicy, RunContext, ISnapshotStore> Store,
    Func<string, PortainerConnectPolicy, RunContext, CancellationToken, Task<IReadOnlyList<ListedEnvironment>>> Listing,
    Func<string, ConnectPolicy, string, RunContext, CancellationToken, Task<IReadOnlyList<ListedNode>?>> Nodes)
{
    public static Wiring Production { get; } = new(
        (name, connect, state, context) => new DockerEnvironment(name, ConnectionFor(name, connect, state, context), context),
        StoreFor,
        PortainerListing.ReadAsync,
        (name, connect, state, context, cancel) => SwarmListing.ReadAsync(ConnectionFor(name, connect, state, context), cancel));

    public Backends Backends(RunContext context, Policy policy, string stateDirectory) => new(
        policy, e => Environment(e.Name, e.Connect, stateDirectory, context), s => Store(s, context),
        (entry, others, cancel) => entry.IsTemplate ? ExpandAsync(entry, others, context, cancel) : NodesAsync(entry, others, stateDirectory, context, cancel));

    private async Task<IReadOnlyList<EnvironmentPolicy>> ExpandAsync(EnvironmentPolicy template, IReadOnlyList<EnvironmentPolicy> others, RunContext context, CancellationToken cancel)
    {
        try
        {
            return TemplateExpansion.Expand(template, await Listing(template.Name, (PortainerConnectPolicy)template.Connect, context, cancel), others, context);
        }
        catch (EnvironmentException)
        {
            // The other environments are to be backed up all the same; whoever opens this one is told why.
            return [template with { Silent = true }];
        }
    }

    /// <summary>What stands for an environment that may be a Swarm; itself where it is none.</summary>
    public async Task<IReadOnlyList<EnvironmentPolicy>> NodesAsync(
        EnvironmentPolicy environment, IReadOnlyList<EnvironmentPolicy> others, string stateDirectory, RunContext context, CancellationToken cancel)
    {
        try
        {
            return SwarmExpansion.Expand(environment, await Nodes(environment.Name, environment.Connect, stateDirectory, context, cancel), others, context);
        }
        catch (BackupException)
        {
            // Also for a key that cannot be read: each environment fails by itself.
            return [environment with { Silent = true }];
        }
    }

    private static DockerConnection ConnectionFor(string name, ConnectPolicy connect, string stateDirectory, RunContext context) => connect switch
    {
        DockerConnectPolicy docker => DockerConnection.For(docker),
        PortainerConnectPolicy portainer => PortainerServerConnection.Create(name, portainer, context),
        PortainerAgentConnectPolicy agent => PortainerAgentConnection.Create(name, agent, stateDirectory, context),
        _ => throw new ArgumentOutOfRangeException(nameof(connect), connect, null),
    };

    private static ISnapshotStore StoreFor(StorePolicy policy, RunContext context)
    {
        IObjectStore objects = policy switch
        {
            DirectoryStorePolicy directory => new DirectoryObjectStore(directory, context),
            S3StorePolicy s3 => new S3ObjectStore(s3, context),
            _ => throw new ArgumentOutOfRangeException(nameof(policy), policy, null),
        };
        return new ArchiveSnapshotStore(new RetryingObjectStore(objects, context), context);
    }
}
