using System.Text;
using System.Text.Json;

namespace Backup.Quiescing;

/// <summary>
/// What must be undone, written and fsynced before it is done. One file of JSON lines in the state directory, opened exclusively: holding it open
/// is also the lock that lets one run at a time work from this host. A last line that a crash cut short was never acted on and is dropped.
/// </summary>
public sealed class UndoJournal : IAsyncDisposable
{
    private const string FileName = "undo.journal";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(200);

    private readonly Lock _gate = new();
    private readonly FileStream _file;
    private readonly List<UndoEntry> _pending = [];
    private readonly HashSet<string> _broken = new(StringComparer.Ordinal);

    private UndoJournal(FileStream file) => _file = file;

    /// <param name="stateDirectory">Created when missing, for its owner only.</param>
    /// <param name="wait">How long to wait while another run holds the journal; zero = do not wait.</param>
    /// <exception cref="BackupException">Locked: another run holds it. Failed: the directory cannot be used. NeedsPerson: the file is damaged.</exception>
    public static async Task<UndoJournal> OpenAsync(string stateDirectory, RunContext context, TimeSpan wait, CancellationToken cancel)
    {
        string path = Path.Combine(stateDirectory, FileName);
        long started = context.Time.GetTimestamp();
        bool told = false;
        while (true)
        {
            try
            {
                return Open(path);
            }
            catch (IOException e) when (IsLocked(e))
            {
                if (context.Time.GetElapsedTime(started) >= wait)
                    throw new BackupException($"Another run of backup holds {path}.",
                        "Let it finish, or give --wait 1h to wait for it. The lock ends with its process: there is nothing to remove.",
                        FailureKind.Locked, e);
                if (!told) context.Events.Report(new RunEvent.Step("waiting for another run to finish"));
                told = true;
                await Task.Delay(PollInterval, context.Time, cancel);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new BackupException($"The state directory {stateDirectory} cannot be used: {e.Message}",
                    "Free space there, run as a user that may write there, or name another directory in BACKUP_STATE_DIR.", inner: e);
            }
        }
    }

    /// <summary>What is still to be undone, oldest first.</summary>
    public IReadOnlyList<UndoEntry> Pending
    {
        get
        {
            lock (_gate) return [.. _pending];
        }
    }

    /// <summary>A restore into this target began to replace its content and did not finish.</summary>
    public bool IsBroken(string environment, string source)
    {
        lock (_gate) return _broken.Contains(Target(environment, source));
    }

    /// <summary>Writes down an undo; when this returns it is on the disk and the thing itself may be done.</summary>
    public void Add(UndoEntry entry)
    {
        lock (_gate)
        {
            Append(new JournalLine(entry, null, null));
            _pending.Add(entry);
        }
    }

    /// <summary>Strikes out an entry after it was undone.</summary>
    public void Done(UndoEntry entry)
    {
        lock (_gate)
        {
            if (_pending.RemoveAll(e => e.Id == entry.Id) > 0) Strike(entry.Id);
        }
    }

    /// <summary>From here on the target's old content goes.</summary>
    public void MarkBroken(string environment, string source)
    {
        lock (_gate)
        {
            Append(new JournalLine(null, null, Target(environment, source)));
            _broken.Add(Target(environment, source));
        }
    }

    /// <summary>The target is whole again, and what was stopped for it may come back.</summary>
    public void ClearBroken(string environment, string source)
    {
        lock (_gate)
        {
            if (_broken.Remove(Target(environment, source))) Strike(Target(environment, source));
        }
    }

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    private static string Target(string environment, string source) => $"{environment}/{source}";

    private static UndoJournal Open(string path)
    {
        string directory = Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(directory, OwnerOnly | UnixFileMode.UserExecute);
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.ReadWrite,
            Share = FileShare.None,
            BufferSize = 0,
            UnixCreateMode = OwnerOnly,
        });
        try
        {
            var journal = new UndoJournal(file);
            journal.Load();
            DirectorySync.Flush(directory);
            return journal;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private void Load()
    {
        byte[] bytes = new byte[_file.Length];
        _file.ReadExactly(bytes);
        int end = bytes.AsSpan().LastIndexOf((byte)'\n') + 1;
        foreach (Range range in bytes.AsSpan(0, end).Split((byte)'\n'))
        {
            ReadOnlySpan<byte> text = bytes.AsSpan(0, end)[range];
            if (text.IsEmpty) continue;
            JournalLine line = Read(text);
            if (line.Undo is not null) _pending.Add(line.Undo);
            else if (line.Broken is not null) _broken.Add(line.Broken);
            else if (line.Done is not null && _pending.RemoveAll(e => e.Id == line.Done) == 0) _broken.Remove(line.Done);
        }
        _file.SetLength(end);
        _file.Position = end;
        TruncateWhenEmpty();
    }

    private JournalLine Read(ReadOnlySpan<byte> text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, JournalJson.Default.JournalLine) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new BackupException($"The undo journal {_file.Name} is damaged: {Encoding.UTF8.GetString(text[..Math.Min(80, text.Length)])}",
                "Look at the file: it names the containers that a killed run held back. Bring them back by hand, then delete it.",
                FailureKind.NeedsPerson, e);
        }
    }

    private void Append(JournalLine line)
    {
        byte[] bytes = [.. JsonSerializer.SerializeToUtf8Bytes(line, JournalJson.Default.JournalLine), (byte)'\n'];
        long before = _file.Position;
        try
        {
            _file.Write(bytes);
            _file.Flush(flushToDisk: true);
        }
        catch (IOException e)
        {
            // Half a line in the middle would make the whole journal unreadable later.
            _file.SetLength(before);
            _file.Position = before;
            throw Unwritable(e);
        }
    }

    private BackupException Unwritable(IOException e) => new($"The undo journal {_file.Name} cannot be written: {e.Message}",
        "Free space there. Nothing is paused or stopped before it is written down.", inner: e);

    private void Strike(string id)
    {
        if (_pending.Count > 0 || _broken.Count > 0)
        {
            Append(new JournalLine(null, id, null));
            return;
        }
        try
        {
            TruncateWhenEmpty();
        }
        catch (IOException e)
        {
            throw Unwritable(e);
        }
    }

    private void TruncateWhenEmpty()
    {
        if (_pending.Count > 0 || _broken.Count > 0) return;
        _file.SetLength(0);
        _file.Position = 0;
        _file.Flush(flushToDisk: true);
    }

    // .NET reports a lost flock as a plain IOException with EWOULDBLOCK in HResult (seen on .NET 10).
    private static bool IsLocked(IOException e) => e.GetType() == typeof(IOException) && e.HResult == 11;
}
