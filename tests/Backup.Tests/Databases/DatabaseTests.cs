using Backup.Tests.Environments;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>Tests on databases in containers of the real engine, whose images choose their presets.</summary>
public abstract class DatabaseTests(EngineFixture engine) : IAsyncLifetime
{
    protected DatabaseScope Scope { get; } = new(engine);

    public Task InitializeAsync()
    {
        Scope.Running.Defaults["quiesce"] = "auto";
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await Scope.DisposeAsync();
}
