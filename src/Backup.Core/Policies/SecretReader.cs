using System.Runtime.Versioning;
using System.Text;

namespace Backup.Policies;

/// <summary>Where secrets really are: the environment, a file of mode 600, a systemd credential. Never says a value.</summary>
internal static class SecretReader
{
    /// <summary>The kinds a reference may have, for messages.</summary>
    internal const string Kinds = "env:NAME, file:PATH or cred:NAME";

    private const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    // A secret is a key or a password; anything larger is the wrong file.
    private const int MaximumBytes = 1 << 20;

    internal static string Read(Secret secret) => Read(secret, Environment.GetEnvironmentVariable);

    internal static string Read(Secret secret, Func<string, string?> variable)
    {
        int colon = secret.Reference.IndexOf(':');
        string rest = secret.Reference[(colon + 1)..];
        return (colon < 0 ? "" : secret.Reference[..colon]) switch
        {
            "env" => FromVariable(secret, rest, variable),
            "file" => FromFile(secret, rest, checkMode: true),
            "cred" => FromCredential(secret, rest, variable),
            // The reference is not repeated: it may be the secret itself.
            _ => throw Usage($"{secret.JsonPath}: this is not a reference to a secret",
                $"Secrets are never written in the policy: use {Kinds}."),
        };
    }

    private static string FromVariable(Secret secret, string name, Func<string, string?> variable)
    {
        string? value = variable(name);
        if (!string.IsNullOrEmpty(value)) return value;
        throw Usage($"{secret.JsonPath}: the environment variable {name} is {(value is null ? "not set" : "empty")}",
            $"Set {name} where backup runs: export it in the shell, or put a line {name}=… into /etc/backup/environment for the systemd units.");
    }

    private static string FromCredential(Secret secret, string name, Func<string, string?> variable)
    {
        if (name.Length == 0 || name is "." or ".." || name.Contains('/'))
            throw Usage($"{secret.JsonPath}: \"{name}\" is not the name of a systemd credential", "Write cred:NAME, without slashes.");
        string? folder = variable("CREDENTIALS_DIRECTORY");
        if (string.IsNullOrEmpty(folder))
            throw Usage($"{secret.JsonPath}: the systemd credential {name} cannot be read, because CREDENTIALS_DIRECTORY is not set",
                $"cred: works inside a systemd unit with LoadCredential={name}:PATH. Outside of one use env: or file:.");
        // systemd itself guards the folder; the mode of the files in it is its own affair.
        return FromFile(secret, Path.Combine(folder, name), checkMode: false);
    }

    private static string FromFile(Secret secret, string path, bool checkMode)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            // The mode of the open file, not of the path: nobody can swap it in between.
            if (checkMode && !OperatingSystem.IsWindows()) RefuseOthers(secret, path, file);
            if (file.CanSeek && file.Length > MaximumBytes)
                throw Usage($"{secret.JsonPath}: {path} is larger than 1 MiB, which is no secret", "Name the file that holds only the secret.");
            using var reader = new StreamReader(file, new UTF8Encoding(false));
            string value = reader.ReadToEnd().TrimEnd('\r', '\n');
            return value.Length > 0 ? value : throw Usage($"{secret.JsonPath}: the secret file {path} is empty", "Write the secret into it.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(secret, path, e);
        }
    }

    [UnsupportedOSPlatform("windows")]
    private static void RefuseOthers(Secret secret, string path, FileStream file)
    {
        UnixFileMode mode = File.GetUnixFileMode(file.SafeFileHandle);
        if ((mode & Others) == 0) return;
        string octal = Convert.ToString((int)mode & 511, 8).PadLeft(3, '0');
        throw Usage($"{secret.JsonPath}: the secret file {path} has mode {octal}: others than its owner can read or write it", $"chmod 600 {path}");
    }

    private static BackupException Unreadable(Secret secret, string path, Exception e) => e switch
    {
        FileNotFoundException or DirectoryNotFoundException =>
            Usage($"{secret.JsonPath}: the secret file {path} does not exist", "Create it with mode 600, or correct the path in the policy.", e),
        UnauthorizedAccessException when Directory.Exists(path) =>
            Usage($"{secret.JsonPath}: {path} is a directory, not a secret file", "Name the file itself.", e),
        UnauthorizedAccessException =>
            Usage($"{secret.JsonPath}: the secret file {path} cannot be read by this user ({Environment.UserName})",
                $"Run backup as the file's owner, or chown the file: chown {Environment.UserName} {path}", e),
        _ => Usage($"{secret.JsonPath}: the secret file {path} cannot be read: {e.Message}", "Check the path and the disk.", e),
    };

    private static BackupException Usage(string problem, string hint, Exception? inner = null) =>
        new(problem, hint, FailureKind.Usage, inner);
}
