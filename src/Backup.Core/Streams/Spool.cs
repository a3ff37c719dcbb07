namespace Backup.Streams;

/// <summary>
/// Where the bytes of a volume wait that neither compressor nor store has taken yet, so that containers are held for the read alone. One file, which
/// has no name any more as soon as it is open: however the process ends, the file system takes the space back. What is freed is given back at
/// once. Safe for use by several threads.
/// </summary>
public sealed class Spool : IDisposable
{
    /// <summary>What stays free on the disk in any case: it is also the disk of the containers.</summary>
    internal const long DefaultFloor = 1L << 30;
    /// <summary>The most that one place holds: a frame of 2 MiB, also when compression made it longer.</summary>
    internal const int SlotBytes = (2 << 20) + (64 << 10);
    private const int Block = 4096;
    private const UnixFileMode FileMode600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly string _directory;
    private readonly long? _maxBytes;
    private readonly long _floor;
    private readonly int _shares;
    private readonly RunContext _context;
    private readonly Lock _gate = new();
    private readonly Stack<SpoolSlot> _free = new();
    private FileStream? _file;
    private long _limit, _used, _end;
    private bool _told;

    /// <param name="directory">Made when it is missing.</param>
    /// <param name="maxBytes">As the policy says; null = the disk's share alone.</param>
    public Spool(string directory, long? maxBytes, RunContext context) : this(directory, maxBytes, context, DefaultFloor) { }

    /// <param name="floor">What stays free on the disk in any case, in bytes.</param>
    /// <param name="shares">How many of its kind divide the room between them.</param>
    internal Spool(string directory, long? maxBytes, RunContext context, long floor, int shares = 1) =>
        (_directory, _maxBytes, _context, _floor, _shares) = (directory, maxBytes, context, floor, shares);

    /// <summary>One of so many that have this one's room between them, in its place. They are disposed by themselves.</summary>
    internal Spool ShareOf(int count) => new(_directory, _maxBytes, _context, _floor, count);

    public string Directory => _directory;

    internal TimeProvider Clock => _context.Time;

    /// <summary>What all share who have this spool, while anyone uses it. For <see cref="FramePress.Open"/>, which locks this spool.</summary>
    internal FramePress? Press { get; set; }

    /// <summary>Bytes that are taken now.</summary>
    internal long Used
    {
        get { lock (_gate) return _used; }
    }

    /// <summary>The most bytes that were taken at a time.</summary>
    internal long Most { get; private set; }

    /// <summary>Half of what is free, so much less that 1 GiB stays free, and never more than the policy allows.</summary>
    /// <param name="free">Of the disk, without what the spool itself takes.</param>
    public static long Share(long free, long? maxBytes) => Share(free, maxBytes, DefaultFloor);

    private static long Share(long free, long? maxBytes, long floor) => Math.Max(0, Math.Min(maxBytes ?? long.MaxValue, Math.Min(free / 2, free - floor)));

    /// <summary>How much it might take now, in all; its directory need not be there yet. Null when the disk does not answer.</summary>
    internal long? Room()
    {
        string? there = Path.GetFullPath(_directory);
        while (there is not null && !System.IO.Directory.Exists(there)) there = Path.GetDirectoryName(there);
        try
        {
            return Share(FreeSpace(there ?? "/") + Used, _maxBytes, _floor);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>
    /// Opens the file and measures the disk; called before anything is held, as often as one likes. Where it cannot be, that is told once, and
    /// there is no room: a backup without a spool is a backup.
    /// </summary>
    internal void Prepare()
    {
        lock (_gate)
        {
            try
            {
                _file ??= OpenUnnamed();
                _limit = Share(FreeSpace(_directory) + _used, _maxBytes, _floor) / _shares;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _limit = 0;
                Tell($"The spool in {_directory} cannot be used: {e.Message}", "Check the directory, or give \"spool\": { \"path\": … } another one.");
            }
        }
    }

    /// <summary>A place for so many bytes, or null: then there is no room, which is told once.</summary>
    internal SpoolSlot? TryTake(int size)
    {
        lock (_gate)
        {
            if (_file is null) return null;
            ArgumentOutOfRangeException.ThrowIfGreaterThan(size, SlotBytes);
            long wanted = (size + Block - 1) / Block * Block;
            SpoolSlot? slot = _free.Count > 0 ? _free.Peek() : null;
            long more = Math.Max(0, wanted - (slot?.Allocated ?? 0));
            if (_used + more > _limit || !Spares(more))
            {
                Tell($"The spool in {_directory} is full ({_used >> 20} MiB).",
                    "Raise \"maxBytes\" of \"spool\" in the policy, or give it a \"path\" on a larger disk. 'backup plan' shows what each group needs.");
                return null;
            }
            if (slot is null)
            {
                slot = new SpoolSlot(_end);
                _end += SlotBytes;
            }
            else _free.Pop();
            slot.Allocated += more;
            _used += more;
            Most = Math.Max(Most, _used);
            return slot;
        }
    }

    /// <summary>Writes some bytes to a place of their own; null when there is no room.</summary>
    /// <exception cref="BackupException">The disk is full or broken.</exception>
    internal SpoolSlot? TryKeep(ReadOnlySpan<byte> bytes)
    {
        if (TryTake(bytes.Length) is not { } slot) return null;
        try
        {
            Write(slot, bytes);
            return slot;
        }
        catch (IOException e)
        {
            Free(slot);
            throw Failure(e);
        }
    }

    /// <summary>The counterpart of <see cref="TryKeep"/>: frees the place.</summary>
    /// <exception cref="BackupException">The disk is broken.</exception>
    internal byte[] TakeBack(SpoolSlot slot)
    {
        try
        {
            var bytes = new byte[slot.Length];
            Read(slot, bytes);
            return bytes;
        }
        catch (IOException e)
        {
            throw Failure(e);
        }
        finally
        {
            Free(slot);
        }
    }

    /// <exception cref="IOException">The disk is full or broken.</exception>
    internal void Write(SpoolSlot slot, ReadOnlySpan<byte> bytes)
    {
        slot.Length = bytes.Length;
        slot.Checksum = Checksum(bytes);
        RandomAccess.Write(_file!.SafeFileHandle, bytes, slot.Offset);
    }

    /// <summary>Reads what was written, <see cref="SpoolSlot.Length"/> bytes. What is hashed afterwards must be what was given.</summary>
    /// <exception cref="IOException">The disk is broken, or its bytes are others.</exception>
    internal void Read(SpoolSlot slot, Span<byte> into)
    {
        for (int done = 0; done < slot.Length;)
        {
            int read = RandomAccess.Read(_file!.SafeFileHandle, into[done..slot.Length], slot.Offset + done);
            if (read == 0) throw new EndOfStreamException($"the spool in {_directory} ends too early");
            done += read;
        }
        if (Checksum(into[..slot.Length]) != slot.Checksum) throw new IOException("it gave back other bytes than were written to it");
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var crc = new Crc32C();
        crc.Append(bytes);
        return crc.Value;
    }

    /// <summary>Gives the place back, and its space to the disk; what the kernel had not written yet never is.</summary>
    internal void Free(SpoolSlot slot)
    {
        bool punched = FileHole.Punch(_file!.SafeFileHandle, slot.Offset, SlotBytes);
        lock (_gate)
        {
            if (punched)
            {
                _used -= slot.Allocated;
                slot.Allocated = 0;
            }
            slot.Length = 0;
            _free.Push(slot);
        }
    }

    internal BackupException Failure(IOException e) => new($"The spool in {_directory} failed: {e.Message}",
        "Look at that disk and make room on it, or give \"spool\": { \"path\": … } another one.", inner: e);

    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    /// <summary>Others fill the disk too: looked at before each write, so that the spool is not what takes the last of it.</summary>
    private bool Spares(long more)
    {
        try
        {
            return FreeSpace(_directory) - more >= _floor;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>A name that a dead process left between opening and removing it is no obstacle, and its file is never shared.</summary>
    private FileStream OpenUnnamed()
    {
        System.IO.Directory.CreateDirectory(_directory, FileMode600 | UnixFileMode.UserExecute);
        string path = Path.Combine(_directory, "spool");
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, BufferSize = 0, UnixCreateMode = FileMode600 };
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                var file = new FileStream(path, options);
                File.Delete(path);
                return file;
            }
            catch (IOException) when (attempt < 5 && File.Exists(path))
            {
                File.Delete(path);
            }
        }
    }

    private void Tell(string problem, string hint)
    {
        if (_told) return;
        _told = true;
        _context.Events.Report(new RunEvent.Warning($"{problem} From here on containers that are held wait for the store as well.", hint));
    }

    private static long FreeSpace(string directory) => new DriveInfo(directory).AvailableFreeSpace;
}

/// <summary>A place in a <see cref="Spool"/>.</summary>
internal sealed class SpoolSlot(long offset)
{
    internal long Offset => offset;
    /// <summary>Bytes written to it.</summary>
    internal int Length { get; set; }
    /// <summary>CRC-32C of these.</summary>
    internal uint Checksum { get; set; }
    /// <summary>Bytes of disk that it takes.</summary>
    internal long Allocated { get; set; }
}
