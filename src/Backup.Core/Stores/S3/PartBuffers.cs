namespace Backup.Stores.S3;

/// <summary>
/// The store's part buffers, reused from object to object. Every writer may always hold one, so that writers never wait for each other;
/// whatever it holds beyond that comes out of a budget that all writers of the store share.
/// </summary>
/// <param name="spareBytes">Budget for the buffers beyond each writer's first.</param>
internal sealed class PartBuffers(long spareBytes)
{
    /// <summary>Two parts of 8 MiB in flight beside the one being filled: 24 MiB for one writer.</summary>
    internal const long DefaultSpare = 16 << 20;
    private const long Keep = DefaultSpare + (8 << 20);

    private readonly Lock _lock = new();
    private readonly List<byte[]> _free = [];
    private long _spare = spareBytes;

    internal Share Open(int size) => new(this, size);

    /// <summary>One writer's buffers, all of the same size. Safe for use by several tasks.</summary>
    internal sealed class Share(PartBuffers all, int size)
    {
        private int _held;

        internal int Size => size;

        /// <summary>Null when this writer holds one already and the budget is used up.</summary>
        internal byte[]? TryRent()
        {
            lock (all._lock)
            {
                if (_held > 0)
                {
                    if (all._spare < size) return null;
                    all._spare -= size;
                }
                _held++;
                int index = all._free.FindIndex(b => b.Length == size);
                if (index >= 0)
                {
                    byte[] buffer = all._free[index];
                    all._free.RemoveAt(index);
                    return buffer;
                }
            }
            return GC.AllocateUninitializedArray<byte>(size);
        }

        /// <summary>Takes back a buffer that nobody reads any more; one that is not a part's is left to the collector.</summary>
        internal void Return(byte[] buffer)
        {
            if (buffer.Length != size) return;
            lock (all._lock)
            {
                if (_held-- > 1) all._spare += size;
                // kept up to what one writer uses; the rest of a busy moment goes back to the collector
                if (all._free.Sum(b => (long)b.Length) + size <= Keep) all._free.Add(buffer);
            }
        }
    }
}
