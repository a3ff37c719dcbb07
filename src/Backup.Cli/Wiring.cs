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
internal sealed record Wiring(
    Func<string, ConnectPolicy, string, RunContext, IEnvironment> Environment,
    Func<StorePolicy, RunContext, ISnapshotStore> Store,
    Func<string, PortainerConnectPolicy, RunContext, CancellationToken, Task<IReadOnlyList<FoundEnvironment>>> Listing)
{
    public static Wiring Production { get; } = new(EnvironmentFor, StoreFor, ListingAsync);

    public Backends Backends(RunContext context, Policy policy, string stateDirectory) => new(
        policy, e => Environment(e.Name, e.Connect, stateDirectory, context), s => Store(s, context),
        (template, others, cancel) => ExpandAsync(template, others, context, cancel));

    private static async Task<IReadOnlyList<EnvironmentPolicy>> ExpandAsync(
        EnvironmentPolicy template, IReadOnlyList<EnvironmentPolicy> others, RunContext context, CancellationToken cancel)
    {
        try
        {
            IReadOnlyList<ListedEnvironment> listed = await PortainerListing.ReadAsync(template.Name, (PortainerConnectPolicy)template.Connect, context, cancel);
            return TemplateExpansion.Expand(template, listed, others, context);
        }
        catch (EnvironmentException)
        {
            // The other environments are to be backed up all the same; whoever opens this one is told why.
            return [template];
        }
    }

    private static async Task<IReadOnlyList<FoundEnvironment>> ListingAsync(string name, PortainerConnectPolicy connect, RunContext context, CancellationToken cancel) =>
        TemplateExpansion.Name(name, connect, await PortainerListing.ReadAsync(name, connect, context, cancel), context);

    private static IEnvironment EnvironmentFor(string name, ConnectPolicy connect, string stateDirectory, RunContext context) => connect switch
    {
        DockerConnectPolicy docker => new DockerEnvironment(name, DockerConnection.For(docker), context),
        PortainerConnectPolicy portainer => new DockerEnvironment(name, PortainerServerConnection.Create(name, portainer, context), context),
        PortainerAgentConnectPolicy agent => new DockerEnvironment(name, PortainerAgentConnection.Create(name, agent, stateDirectory, context), context),
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
