using Backup.Environments;
using Backup.Environments.Connections;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>The contract over ssh, by the docker client of the host.</summary>
public sealed class SshEngineTests(EngineFixture engine, SshServer ssh) : RealEngineContract(engine), IClassFixture<SshServer>
{
    private readonly EngineFixture _engine = engine;

    protected override async Task<IEnvironment> OpenAsync()
    {
        await ssh.StartAsync(_engine.Url);
        return await base.OpenAsync();
    }

    protected override DockerConnection Connect(EngineFixture engine) => ssh.Connect(ssh.DockerPort);
}

/// <summary>The contract over ssh to a host without a docker client, by forwarding the engine's socket.</summary>
public sealed class SshForwardedEngineTests(EngineFixture engine, SshServer ssh) : RealEngineContract(engine), IClassFixture<SshServer>
{
    private readonly EngineFixture _engine = engine;

    protected override async Task<IEnvironment> OpenAsync()
    {
        await ssh.StartAsync(_engine.Url);
        return await base.OpenAsync();
    }

    protected override DockerConnection Connect(EngineFixture engine) => ssh.Connect(ssh.BarePort, engine.SocketPath);
}
