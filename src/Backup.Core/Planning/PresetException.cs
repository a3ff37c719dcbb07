namespace Backup.Planning;

/// <summary>A preset that was asked for by name cannot run: its source is not backed up rather than in another way.</summary>
internal sealed class PresetException(string problem, string hint) : BackupException(problem, hint);
