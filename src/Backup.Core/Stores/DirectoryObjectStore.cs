using System.IO.Enumeration;
using System.Runtime.CompilerServices;
using Backup.Policies;

namespace Backup.Stores;

/// <summary>
/// Objects as plain files below a directory (local disk, NFS, a mounted share): temporary file, fsync, rename, fsync of the directory. Files
/// are 0600, directories 0700. A temporary file is <c>.NAME#RANDOM</c> beside the final one: <c>#</c> is in no key, so it is never listed as an object.
/// </summary>
public sealed class DirectoryObjectStore(DirectoryStorePolicy policy, RunContext context) : IObjectStore
{
    private const char Mark = '#';
    private const int RandomLength = 12;
    private const int NoSpace = 28, QuotaExceeded = 122, ReadOnlyFileSystem = 30;
    private const UnixFileMode FileMode600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode FolderMode700 = FileMode600 | UnixFileMode.UserExecute;

    private readonly string _root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(policy.Path));

    public string Name => policy.Name;
    public string Location => _root;

    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel) => Guard<ObjectWriter>(key, cancel, path =>
    {
        string folder = Path.GetDirectoryName(path)!;
        string temporary = Path.Combine(folder, $".{Path.GetFileName(path)}{Mark}{context.NewId()[..RandomLength]}");
        for (int attempt = 1; ; attempt++)
        {
            MakeFolder(folder);
            try
            {
                return new DirectoryObjectWriter(this, temporary, path, NewFile(temporary));
            }
            catch (DirectoryNotFoundException) when (attempt < 5)
            {
                // a delete beside us took the folder away while it was empty
            }
        }
    });

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (length is { } wanted) ArgumentOutOfRangeException.ThrowIfNegative(wanted, nameof(length));
        return Guard<Stream?>(key, cancel, path =>
        {
            try
            {
                var file = new FileStream(path, new FileStreamOptions { Options = FileOptions.Asynchronous, BufferSize = 0, Share = FileShare.Read | FileShare.Delete });
                long size = file.Length;
                offset = Math.Min(offset, size);
                file.Seek(offset, SeekOrigin.Begin);
                return new DirectoryReadStream(this, path, file, Math.Min(length ?? long.MaxValue, size - offset));
            }
            catch (Exception e) when (Absent(path, e))
            {
                return null;
            }
        });
    }

    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel) => Guard(key, cancel, path =>
    {
        var file = new FileInfo(path);
        return file.Exists ? new ObjectInfo(key, file.Length, new DateTimeOffset(file.LastWriteTimeUtc)) : null;
    });

    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        ObjectKey.CheckPrefix(prefix);
        // gathered at once, off the caller's thread: 6,000 files take some tens of milliseconds, and no directory handle stays open meanwhile
        foreach (ObjectInfo found in await Task.Run(() => Gather(prefix, unfinished: false, cancel), cancel))
        {
            cancel.ThrowIfCancellationRequested();
            yield return found;
        }
    }

    public async IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        ObjectKey.CheckPrefix(prefix);
        foreach (ObjectInfo found in await Task.Run(() => Gather(prefix, unfinished: true, cancel), cancel))
        {
            cancel.ThrowIfCancellationRequested();
            yield return new UnfinishedUpload(found.Key, found.Modified);
        }
    }

    public Task DeleteAsync(string key, CancellationToken cancel) => Guard<object?>(key, cancel, path =>
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (Absent(path, e))
        {
            return null;
        }
        FlushIfThere(RemoveEmptyFolders(Path.GetDirectoryName(path)!));
        return null;
    });

    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel) => Guard(key, cancel, path =>
    {
        string folder = Path.GetDirectoryName(path)!, start = $".{Path.GetFileName(path)}{Mark}";
        if (!Directory.Exists(folder)) return 0;
        string[] left = [.. new FileSystemEnumerable<string>(folder, (ref FileSystemEntry e) => e.ToFullPath(), new EnumerationOptions { AttributesToSkip = 0 })
        {
            ShouldIncludePredicate = (ref FileSystemEntry e) => !e.IsDirectory && e.FileName.StartsWith(start, StringComparison.Ordinal),
        }];
        foreach (string file in left) File.Delete(file);
        return left.Length;
    });

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>Removes what an abandoned writer left; when even that fails, <see cref="AbortUploadsAsync"/> finds it later.</summary>
    internal void Discard(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            context.Events.Report(new RunEvent.Step($"store '{Name}': left an unfinished file behind, prune removes it: {temporary}"));
        }
    }

    /// <summary>Runs file work and translates the failures of the file system.</summary>
    internal async Task GuardAsync(string path, Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Translate(path, e);
        }
    }

    /// <summary>The one place where the file system's failures become the user's words.</summary>
    internal StoreException Translate(string path, Exception e) => e switch
    {
        StoreException known => known,
        IOException { HResult: NoSpace or QuotaExceeded } => new StoreException(Name,
            $"store '{Name}' is full: no space left for {path}{FreeSpace()}",
            "Free some space there, shorten the retention and run 'backup prune', or give the store another path.", inner: e),
        IOException { HResult: ReadOnlyFileSystem } => new StoreException(Name, $"store '{Name}': the file system of {path} is read-only",
            "Remount it writable, or look in the kernel's log for the disk error that made it read-only.", inner: e),
        UnauthorizedAccessException => new StoreException(Name, $"store '{Name}': no permission for {path}",
            $"Run as a user that may read and write {_root}, or change its owner.", inner: e),
        _ => new StoreException(Name, $"store '{Name}': {e.Message}", $"Check that {_root} is mounted, whole and writable.", inner: e),
    };

    private Task<T> Guard<T>(string key, CancellationToken cancel, Func<string, T> work)
    {
        string path = Path.Combine(_root, ObjectKey.Check(key));
        return Task.Run(() =>
        {
            try
            {
                return work(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate(path, e);
            }
        }, cancel);
    }

    private List<ObjectInfo> Gather(string prefix, bool unfinished, CancellationToken cancel)
    {
        string folder = Path.Combine(_root, prefix);
        var found = new List<ObjectInfo>();
        try
        {
            var files = new FileSystemEnumerable<ObjectInfo>(folder, (ref FileSystemEntry e) => new ObjectInfo(
                e.ToFullPath()[(_root.Length + 1)..], e.Length, e.LastWriteTimeUtc), new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0, IgnoreInaccessible = false })
            {
                ShouldIncludePredicate = (ref FileSystemEntry e) => !e.IsDirectory && e.FileName.Contains(Mark) == unfinished,
                ShouldRecursePredicate = (ref FileSystemEntry e) => (e.Attributes & FileAttributes.ReparsePoint) == 0,
            };
            foreach (ObjectInfo file in files)
            {
                cancel.ThrowIfCancellationRequested();
                if ((unfinished ? KeyOfTemporary(file.Key) : file.Key) is { } key && ObjectKey.IsValid(key)) found.Add(file with { Key = key });
            }
        }
        catch (DirectoryNotFoundException)
        {
            if (File.Exists(_root))
                throw new StoreException(Name, $"store '{Name}': {_root} is not a folder", "Move that file away, or give the store another path.");
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Translate(folder, e);
        }
        return found;
    }

    /// <summary>Null for a stranger's file: ours is named <c>.NAME#RANDOM</c>.</summary>
    private static string? KeyOfTemporary(string path)
    {
        int name = path.LastIndexOf('/') + 1, mark = path.LastIndexOf(Mark);
        bool ours = path[name] == '.' && mark > name && path.Length - mark - 1 == RandomLength && !path.AsSpan(mark + 1).ContainsAnyExcept("0123456789abcdef");
        return ours ? path[..name] + path[(name + 1)..mark] : null;
    }

    private static FileStream NewFile(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = FileMode600;
        return new FileStream(path, options);
    }

    private static void MakeFolder(string folder)
    {
        if (Directory.Exists(folder)) return;
        string parent = Path.GetDirectoryName(folder)!;
        MakeFolder(parent);
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, FolderMode700);
        DirectorySync.Flush(parent);
    }

    /// <summary>Folders below the root go when their last file goes; anything left in them keeps them. Returns the first one that stays.</summary>
    private string RemoveEmptyFolders(string folder)
    {
        for (; folder.Length > _root.Length; folder = Path.GetDirectoryName(folder)!)
        {
            try
            {
                Directory.Delete(folder);
            }
            catch (DirectoryNotFoundException)
            {
                // another task was quicker
            }
            catch (IOException)
            {
                break; // not empty
            }
        }
        return folder;
    }

    /// <summary>Makes the removal durable, so that a manifest never comes back after a crash while its bytes are gone.</summary>
    private static void FlushIfThere(string folder)
    {
        try
        {
            DirectorySync.Flush(folder);
        }
        catch (IOException) when (!Directory.Exists(folder))
        {
            // another delete removed the folder itself, and syncs its parent
        }
    }

    private string FreeSpace()
    {
        try
        {
            return $" ({new DriveInfo(_root).AvailableFreeSpace >> 20} MiB free)";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>No such file; a folder of that name is none, though .NET calls opening or deleting it a matter of permission.</summary>
    private static bool Absent(string path, Exception e) =>
        e is FileNotFoundException or DirectoryNotFoundException || e is UnauthorizedAccessException && Directory.Exists(path);
}
