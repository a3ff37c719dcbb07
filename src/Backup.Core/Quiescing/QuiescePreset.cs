using System.Globalization;
using Backup.Policies;

namespace Backup.Quiescing;

/// <summary>How one kind of database is recognised, held while its volume is read, dumped and loaded. Data: what is done stands in scripts that run in its container.</summary>
/// <param name="Name">As policies and labels write it.</param>
/// <param name="Images">Last segments of the repositories of its images, official and others that keep its programs and variables.</param>
/// <param name="Holding">How its volume is made good to read, in the user's words.</param>
public sealed record QuiescePreset(string Name, IReadOnlyList<string> Images, string Holding)
{
    /// <summary>What is done to the container while its volume is read.</summary>
    public QuiesceMode Mode { get; init; } = QuiesceMode.Pause;

    /// <summary>Which of the policy's options its scripts have a use for.</summary>
    public IReadOnlyList<string> Takes { get; init; } = [];

    /// <summary>Says whether <see cref="Before"/> will work, changing nothing; null = there is nothing that could fail.</summary>
    public PresetScript? Check { get; init; }

    /// <summary>
    /// Runs from before the pause until <see cref="After"/> ends it, and holds a lock all the while. Only its exit code 0 proves that the lock was held;
    /// without it the snapshot does not stand. Ends by itself when nobody comes.
    /// </summary>
    public PresetScript? Session { get; init; }

    /// <summary>Done and proved before the pause.</summary>
    public PresetScript? Before { get; init; }

    /// <summary>Undoes it once the container runs again; does nothing where there is nothing to undo.</summary>
    public PresetScript? After { get; init; }

    /// <summary>Of everything; null = this kind has no dump.</summary>
    public DumpMethod? Dump { get; init; }

    /// <summary>Of named databases only; null = <see cref="Dump"/> does it.</summary>
    public DumpMethod? DumpOfDatabases { get; init; }

    /// <summary>Of one database in a form of its own; null = there is none.</summary>
    public DumpMethod? DumpCustom { get; init; }

    public DumpMethod? DumpFor(PresetOptions options) =>
        options.Format == DumpFormat.Custom ? DumpCustom : options.Databases.Count > 0 ? DumpOfDatabases ?? Dump : Dump;
}

/// <summary>How one kind of database writes all of itself to standard output, and takes it back.</summary>
/// <param name="Words">How, in the user's words.</param>
/// <param name="FileName">Of the dump as one file, such as <c>postgres.sql</c>.</param>
/// <param name="Check">Says whether <paramref name="Write"/> will work, changing nothing.</param>
/// <param name="Write">Writes the dump; its exit code counts.</param>
/// <param name="Mark">What a whole dump looks like, besides exit code 0.</param>
public sealed record DumpMethod(string Words, string FileName, PresetScript Check, PresetScript Write, DumpMark Mark)
{
    /// <summary>The script whose processes carry the id of the dump, so that they can be found and ended when it is given up.</summary>
    /// <param name="id">Hex digits.</param>
    public PresetScript WriteAs(string id) => Write with { Text = $"export BACKUP_DUMP={id}\n{Write.Text}" };

    /// <summary>Takes the dump from standard input; its exit code counts. Null = it cannot be loaded into a running server, see <see cref="LoadByHand"/>.</summary>
    public PresetScript? Load { get; init; }

    /// <summary>Writes <c>empty</c> when nothing of a user's would be lost, else what there is.</summary>
    public PresetScript? Contents { get; init; }

    /// <summary>Removes what a load would be in conflict with.</summary>
    public PresetScript? Clear { get; init; }

    /// <summary>What a person does where <see cref="Load"/> is null.</summary>
    public string LoadByHand { get; init; } = "";
}

/// <summary>A shell script by the name under which messages and a process list show it.</summary>
public sealed record PresetScript(string Name, string Text)
{
    /// <summary>The command that runs it: user, password file, databases and files are its arguments, never part of its text.</summary>
    public IReadOnlyList<string> Command(PresetOptions options) =>
    [
        "/bin/sh", "-c", Presets.Shell.Prelude + Text, Name,
        ((int)Math.Ceiling(options.Patience.TotalSeconds)).ToString(CultureInfo.InvariantCulture), options.User ?? "", options.PasswordFile ?? "", .. options.Databases, .. options.Files,
    ];
}

/// <summary>Bytes that a whole dump begins and ends with.</summary>
/// <param name="Words">What is looked for, for messages.</param>
/// <param name="Head">Its first bytes.</param>
/// <param name="Tail">Bytes near its end.</param>
/// <param name="FromEnd">Where exactly <paramref name="Tail"/> begins, counted from the end; null = anywhere in the last <see cref="TailSpan"/> bytes.</param>
public sealed record DumpMark(string Words, byte[] Head, byte[] Tail, int? FromEnd = null)
{
    public const int TailSpan = 1024;

    /// <param name="head">The first bytes, at least as many as <see cref="Head"/> has where there are that many.</param>
    /// <param name="tail">The last bytes, <see cref="TailSpan"/> of them where there are that many.</param>
    public bool IsWhole(ReadOnlySpan<byte> head, ReadOnlySpan<byte> tail) =>
        head.StartsWith(Head) && (FromEnd is { } at
            ? tail.Length >= at && tail[^at..].StartsWith(Tail)
            : tail.Length > 0 && tail.IndexOf(Tail) >= 0);
}
