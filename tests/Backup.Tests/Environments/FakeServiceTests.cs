using System.Security.Cryptography;
using Backup.Environments;
using Backup.Tests.Contracts;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>The fake keeps the services' contract too.</summary>
public sealed class FakeServiceTests : ServiceContract
{
    private readonly FakeEnvironment _fake = new("fake", new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));

    protected override Task<IEnvironment> OpenAsync() => Task.FromResult<IEnvironment>(_fake);

    protected override Task CloseAsync() => Task.CompletedTask;

    protected override Task<string> NewServiceAsync(string name, int? replicas) =>
        Task.FromResult(_fake.AddService(name, replicas ?? 1, mode: replicas is null ? ServiceMode.Global : ServiceMode.Replicated));

    [Fact(Timeout = 10_000)]
    public async Task A_task_that_is_stopped_behind_the_swarms_back_is_replaced()
    {
        string id = _fake.AddService("web", 1);
        ContainerFacts task = _fake.Tasks(id).Single();
        await _fake.ActAsync(new ContainerAction(ContainerVerb.Stop, task.Id), default);
        (await RunningAsync(id)).ShouldHaveSingleItem().Id.ShouldNotBe(task.Id);
    }
}
