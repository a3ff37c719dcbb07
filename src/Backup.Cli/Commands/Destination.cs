namespace Backup.Cli.Commands;

/// <summary>Where <c>init</c> writes: a new file, or stdout.</summary>
internal static class Destination
{
    /// <exception cref="BackupException">The file is there already, or cannot be written.</exception>
    public static async Task WriteAsync(string target, string text, Session session, CancellationToken cancel)
    {
        if (target == "-")
        {
            await session.Surroundings.Out.WriteAsync(text.AsMemory(), cancel);
            return;
        }
        string path = Path.GetFullPath(target, session.Surroundings.Directory);
        try
        {
            // CreateNew, so that a policy somebody wrote by hand cannot be lost to a race either.
            await using var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
            await using var writer = new StreamWriter(stream);
            await writer.WriteAsync(text.AsMemory(), cancel);
        }
        catch (IOException) when (File.Exists(path))
        {
            throw new BackupException($"{path} exists already and is not overwritten", "Name another file with --output FILE, or look at the text with --output -.");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"cannot write {path}: {failure.Message}", "Name a file in a directory you may write to with --output FILE.", inner: failure);
        }
        session.Output.Message($"wrote {path}; read it, then: backup check --policy {path}");
    }
}
