using System.Security.Cryptography;
using Backup.Stores;

namespace Backup.Snapshots.Archive;

/// <summary>Whole objects that fit in memory: manifests, markers, indexes.</summary>
internal static class SmallObjects
{
    /// <exception cref="StoreException">Also when the store says that it took something else than was sent.</exception>
    internal static async Task PutAsync(this IObjectStore store, string key, byte[] bytes, CancellationToken cancel)
    {
        ObjectWriter writer = await store.CreateAsync(key, bytes.Length, cancel).ConfigureAwait(false);
        await using (writer.ConfigureAwait(false))
        {
            await writer.WriteAsync(bytes, cancel).ConfigureAwait(false);
            ObjectReceipt receipt = await writer.CommitAsync(cancel).ConfigureAwait(false);
            if (receipt.Size != bytes.Length || receipt.Sha256 != Convert.ToHexStringLower(SHA256.HashData(bytes)))
                throw new StoreException(store.Name, $"{store.Location} did not take {key} as it was sent.", "Check the store, then try again.");
        }
    }

    /// <summary>Null when there is no such object.</summary>
    internal static async Task<byte[]?> GetAsync(this IObjectStore store, string key, CancellationToken cancel)
    {
        Stream? stream = await store.OpenReadAsync(key, 0, null, cancel).ConfigureAwait(false);
        if (stream is null) return null;
        await using (stream.ConfigureAwait(false))
        {
            using var bytes = new MemoryStream();
            await stream.CopyToAsync(bytes, cancel).ConfigureAwait(false);
            return bytes.ToArray();
        }
    }
}
