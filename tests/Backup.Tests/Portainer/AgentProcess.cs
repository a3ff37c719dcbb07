using System.Diagnostics;

namespace Backup.Tests.Portainer;

/// <summary>The test agent as a program of its own, in a network namespace.</summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    private readonly Process _process;

    private AgentProcess(Process process, Uri url) => (_process, Url) = (process, url);

    /// <summary>As this host reaches it.</summary>
    public Uri Url { get; }

    /// <param name="address">Of the namespace.</param>
    public static async Task<AgentProcess> StartAsync(string netns, string address, string engineSocket, string secret)
    {
        string rig = Path.Combine(AppContext.BaseDirectory, "Backup.PortainerRig.dll");
        var start = new ProcessStartInfo("nsenter",
            [$"--net=/run/netns/{netns}", "dotnet", rig, "agent", engineSocket, "--address", address, "--port", "9001", "--secret", secret]) { RedirectStandardOutput = true };
        Process process = Process.Start(start)!;
        string? line = await process.StandardOutput.ReadLineAsync();
        return new AgentProcess(process, new Uri(line ?? throw new InvalidOperationException("the agent did not start")));
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
