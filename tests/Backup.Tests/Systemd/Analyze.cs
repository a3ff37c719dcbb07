using System.Diagnostics;
using Xunit;
using Xunit.Sdk;

namespace Backup.Tests.Systemd;

/// <summary>systemd's own judge.</summary>
internal static class Analyze
{
    internal static readonly bool Present = File.Exists("/usr/bin/systemd-analyze");

    /// <summary>False where there is no systemd; a failure where the test script says that it must be there.</summary>
    internal static bool Available()
    {
        if (Present) return true;
        if (Environment.GetEnvironmentVariable("BACKUP_TEST_DISALLOW_SKIP") == "1") throw new XunitException("systemd-analyze is missing (package systemd)");
        return false;
    }

    internal static async Task<(int Code, string Output)> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("systemd-analyze", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["LC_ALL"] = "C";
        start.Environment["TZ"] = "UTC";
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await error);
    }
}
