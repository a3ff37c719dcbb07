namespace Backup.Stores.S3;

/// <summary>One size for all parts of an upload but the last, as R2 and others demand.</summary>
internal static class S3PartSize
{
    private const int SafeParts = 9_000;
    private const long Default = 8 << 20, Least = 5 << 20, Most = 1 << 30;

    /// <param name="wanted">The policy's, or null.</param>
    /// <param name="sizeHint">Expected bytes, or null. Larger parts when the expectation would need more than 9,000.</param>
    internal static int Choose(long? wanted, long? sizeHint)
    {
        long size = Math.Clamp(wanted ?? Default, Least, Most);
        if (wanted is null && sizeHint is { } hint && hint / SafeParts >= size)
        {
            const long mebibyte = 1 << 20;
            size = Math.Min(Most, (hint / SafeParts + mebibyte) / mebibyte * mebibyte);
        }
        return (int)size;
    }
}
