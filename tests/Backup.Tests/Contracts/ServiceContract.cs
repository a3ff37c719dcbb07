using Backup.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Contracts;

/// <summary>What every <see cref="IEnvironment"/> that is a manager of a swarm must do, the strict fake included.</summary>
public abstract class ServiceContract : IAsyncLifetime
{
    private const int Limit = 120_000;

    protected IEnvironment Environment { get; private set; } = null!;

    protected abstract Task<IEnvironment> OpenAsync();

    protected abstract Task CloseAsync();

    /// <summary>A service whose tasks run for ever; replicas null = a global one. Returns its id when as many tasks run.</summary>
    protected abstract Task<string> NewServiceAsync(string name, int? replicas);

    public async Task InitializeAsync() => Environment = await OpenAsync();

    public async Task DisposeAsync()
    {
        await Environment.DisposeAsync();
        await CloseAsync();
    }

    protected async Task<IReadOnlyList<ContainerSight>> RunningAsync(string service) =>
        [.. (await Environment.ListContainersAsync(default)).Where(c => c.Running && c.ServiceId == service)];

    [Fact(Timeout = Limit)]
    public async Task A_service_is_told_with_its_tasks_and_scaled_from_the_count_it_has_and_from_no_other()
    {
        string id = await NewServiceAsync("web", 2);
        Inventory inventory = await Environment.InspectAsync(default);
        SwarmFacts swarm = inventory.Swarm.ShouldNotBeNull();
        (swarm.Nodes, swarm.Unread).ShouldBe((1, null));
        ServiceFacts web = swarm.Services.Single(s => s.Id == id);
        (web.Mode, web.Replicas, web.RunningTasks, web.Updating).ShouldBe((ServiceMode.Replicated, 2L, 2L, false));
        inventory.Containers.Count(c => c.Running && c.SwarmTask && c.ServiceId == id).ShouldBe(2);
        (await Environment.FindServiceAsync(id, default)).ShouldBe(web);

        (await Environment.ScaleAsync(id, 1, 0, default)).ShouldBeFalse("it has another count");
        (await RunningAsync(id)).Count.ShouldBe(2);

        (await Environment.ScaleAsync(id, 2, 0, default)).ShouldBeTrue();
        (await RunningAsync(id)).ShouldBeEmpty("a scale to 0 ends with the tasks");
        (await Environment.FindServiceAsync(id, default)).ShouldNotBeNull().Replicas.ShouldBe(0);
        (await Environment.ScaleAsync(id, 2, 0, default)).ShouldBeFalse("it is at 0 already");

        (await Environment.ScaleAsync(id, 0, 2, default)).ShouldBeTrue();
        while ((await Environment.FindServiceAsync(id, default))!.RunningTasks < 2 || (await RunningAsync(id)).Count < 2) await Task.Delay(100);
    }

    [Fact(Timeout = Limit)]
    public async Task A_global_service_has_no_count_and_one_that_is_gone_is_null_or_not_found()
    {
        string id = await NewServiceAsync("agents", null);
        (await Environment.FindServiceAsync(id, default)).ShouldNotBeNull().Mode.ShouldBe(ServiceMode.Global);
        (await Should.ThrowAsync<EnvironmentException>(Environment.ScaleAsync(id, 1, 0, default))).Problem.ShouldContain("has no count of tasks");
        (await RunningAsync(id)).ShouldHaveSingleItem();

        string gone = new('z', 25);
        (await Environment.FindServiceAsync(gone, default)).ShouldBeNull();
        (await Should.ThrowAsync<EnvironmentException>(Environment.ScaleAsync(gone, 1, 0, default))).Kind.ShouldBe(FailureKind.NotFound);
    }
}
