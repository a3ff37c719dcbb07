using System.Diagnostics;

namespace Backup.Tests.Stores;

/// <summary>Things of the machine that a test cannot do without.</summary>
internal static class Require
{
    /// <summary>Runs a command that must succeed; a test that cannot run here fails when BACKUP_TEST_DISALLOW_SKIP=1, and says so otherwise.</summary>
    internal static void Command(string program, params string[] arguments)
    {
        string problem;
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode == 0) return;
            problem = $"{program} {string.Join(' ', arguments)}: {error.Trim()}";
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            problem = $"{program}: {e.Message}";
        }
        throw new InvalidOperationException(Environment.GetEnvironmentVariable("BACKUP_TEST_DISALLOW_SKIP") == "1" ? problem : "$XunitDynamicSkip$" + problem);
    }
}
