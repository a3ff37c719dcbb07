using System.Runtime.CompilerServices;
using Shouldly;

namespace Backup.Tests.Golden;

/// <summary>
/// Compares text with a file of this folder. <c>BACKUP_TEST_UPDATE_GOLDEN=1 dotnet test …</c> writes the files instead; read the diff before you
/// commit it.
/// </summary>
internal static class GoldenFile
{
    internal static void Check(string name, string actual, [CallerFilePath] string caller = "")
    {
        string path = Path.Combine(Folder(caller), name);
        if (Environment.GetEnvironmentVariable("BACKUP_TEST_UPDATE_GOLDEN") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, actual);
        }
        File.Exists(path).ShouldBeTrue($"{path} is missing: run once with BACKUP_TEST_UPDATE_GOLDEN=1");
        actual.ShouldBe(File.ReadAllText(path), $"{name} differs: if that is right, run with BACKUP_TEST_UPDATE_GOLDEN=1");
    }

    private static string Folder(string caller)
    {
        string? folder = Path.GetDirectoryName(caller);
        while (folder is not null && !Directory.Exists(Path.Combine(folder, "Golden"))) folder = Path.GetDirectoryName(folder);
        return Path.Combine(folder ?? throw new InvalidOperationException($"no Golden folder above {caller}"), "Golden");
    }
}
