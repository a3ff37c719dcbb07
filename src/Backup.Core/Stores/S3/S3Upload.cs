using System.Net;
using System.Security.Cryptography;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Backup.Stores.S3;

/// <param name="Md5">Hex; what the server says about the part is held against it.</param>
internal sealed record S3Part(int Number, long Size, string Sha256, string Md5, string Etag);

/// <summary>The requests of one object's upload: PUT, or initiate, parts, complete, abort; each with its retries and its proof.</summary>
internal sealed class S3Upload(Bucket bucket, string fullKey)
{
    private string? _id;

    internal string Action { get; } = $"uploading {fullKey}";
    internal bool Started => _id is not null;

    private S3Timeouts Timeouts => bucket.Tuning.Timeouts;

    internal async Task StartAsync(CancellationToken cancel)
    {
        if (Started) return;
        InitiateMultipartUploadResponse answer = await bucket.Tuning.Calls.RunAsync(bucket.Context, _ => bucket.CallAsync($"starting the upload of {fullKey}", Timeouts.Call,
            (s3, token) => s3.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest
            {
                BucketName = bucket.Name,
                Key = fullKey,
                ContentType = ContentType,
                StorageClass = StorageClass,
            }, token), cancel), cancel);
        _id = answer.UploadId;
    }

    internal async Task<S3Part> SendPartAsync(int number, byte[] buffer, int count, CancellationToken cancel)
    {
        S3Part part = Hash(number, buffer, count);
        string action = $"uploading part {number} of {fullKey}", md5 = Convert.ToBase64String(Convert.FromHexString(part.Md5));
        return await bucket.Tuning.Parts.RunAsync(bucket.Context, async _ =>
        {
            UploadPartResponse answer = await SendAsync(action, buffer, count, (s3, body, token) => s3.UploadPartAsync(new UploadPartRequest
            {
                BucketName = bucket.Name,
                Key = fullKey,
                UploadId = _id,
                PartNumber = number,
                InputStream = body,
                PartSize = count,
                MD5Digest = md5,
                UseChunkEncoding = false,
                DisablePayloadSigning = Unsigned,
            }, token), cancel);
            Compare(action, part.Md5, answer.ETag);
            return part with { Etag = answer.ETag };
        }, cancel);
    }

    internal async Task<S3Part> PutAsync(byte[] buffer, int count, CancellationToken cancel)
    {
        S3Part part = Hash(1, buffer, count);
        return await bucket.Tuning.Parts.RunAsync(bucket.Context, async attempt =>
        {
            try
            {
                PutObjectResponse answer = await SendAsync(Action, buffer, count, (s3, body, token) => s3.PutObjectAsync(new PutObjectRequest
                {
                    BucketName = bucket.Name,
                    Key = fullKey,
                    InputStream = body,
                    ContentType = ContentType,
                    StorageClass = StorageClass,
                    MD5Digest = Convert.ToBase64String(Convert.FromHexString(part.Md5)),
                    UseChunkEncoding = false,
                    DisablePayloadSigning = Unsigned,
                    IfNoneMatch = bucket.Preset.CreateOnly ? "*" : null,
                }, token), cancel);
                Compare(Action, part.Md5, answer.ETag);
                if (!IsMd5(answer.ETag)) await ProveAsync(count, null, cancel);
                return part with { Etag = answer.ETag };
            }
            catch (StoreException e) when (attempt > 1 && Status(e) == HttpStatusCode.PreconditionFailed)
            {
                // an earlier attempt arrived and only its answer was lost
                await ProveAsync(count, part.Md5, cancel);
                return part;
            }
        }, cancel);
    }

    /// <summary>One request with a body, within the part's deadline and without a stall.</summary>
    private Task<T> SendAsync<T>(string action, byte[] buffer, int count, Func<IAmazonS3, Stream, CancellationToken, Task<T>> send, CancellationToken cancel) =>
        bucket.CallAsync(action, Timeouts.Part(count), async (s3, token) =>
        {
            using var stall = new CancellationTokenSource(Timeouts.UploadStall, bucket.Context.Time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(token, stall.Token);
            using var body = new WatchedBody(buffer, count, () => stall.CancelAfter(Timeouts.UploadStall));
            try
            {
                return await send(s3, body, both.Token);
            }
            catch (Exception e) when (stall.IsCancellationRequested && !token.IsCancellationRequested)
            {
                throw bucket.Failure(action, $"the store took no more of the data for {Timeouts.UploadStall.TotalSeconds:0.#} s",
                    "Check the network to the store and the store's health.", transient: true, e);
            }
        }, cancel);

    /// <summary>Joins the parts, and proves that it happened: an answer can be lost, be an error behind a 200, or belong to a server that miscounts.</summary>
    internal async Task CompleteAsync(IReadOnlyList<S3Part> parts, CancellationToken cancel)
    {
        long size = parts.Sum(p => p.Size);
        string tag = $"{Convert.ToHexStringLower(MD5.HashData([.. parts.SelectMany(p => Convert.FromHexString(p.Md5))]))}-{parts.Count}";
        await bucket.Tuning.Calls.RunAsync(bucket.Context, async _ =>
        {
            try
            {
                await bucket.CallAsync($"completing the upload of {fullKey}", Timeouts.Complete, (s3, token) => s3.CompleteMultipartUploadAsync(new CompleteMultipartUploadRequest
                {
                    BucketName = bucket.Name,
                    Key = fullKey,
                    UploadId = _id,
                    PartETags = [.. parts.Select(p => new PartETag(p.Number, p.Etag))],
                    IfNoneMatch = bucket.Preset.CreateOnly ? "*" : null,
                }, token), cancel);
            }
            catch (StoreException e) when (Status(e) is HttpStatusCode.NotFound or HttpStatusCode.PreconditionFailed && Code(e) != "NoSuchBucket")
            {
                // the upload is gone or its key is taken: that is success if this very object is there
                if (!await IsThereAsync(size, tag, cancel)) throw;
            }
        }, cancel);
        try
        {
            await ProveAsync(size, tag, cancel);
        }
        catch (StoreException e) when (!e.Transient)
        {
            await bucket.DeleteAsync(fullKey, cancel);
            throw;
        }
    }

    /// <summary>Discards the parts. Tried a few times, as long as the caller's deadline allows.</summary>
    internal Task AbortAsync(CancellationToken cancel) => bucket.Tuning.Calls.RunAsync(bucket.Context, _ => bucket.AbortAsync(fullKey, _id!, cancel), cancel);

    private const string ContentType = "application/octet-stream";

    private bool? Unsigned => bucket.UnsignedPayload ? true : null;
    private S3StorageClass? StorageClass => bucket.Policy.StorageClass is { } name ? S3StorageClass.FindValue(name) : null;

    private async Task ProveAsync(long size, string? tag, CancellationToken cancel)
    {
        if (await IsThereAsync(size, tag, cancel)) return;
        throw bucket.Failure(Action, "what the store has under this key is not what was sent", "The server, or a proxy before it, changes uploads: do not trust it with backups.", transient: false);
    }

    private async Task<bool> IsThereAsync(long size, string? tag, CancellationToken cancel)
    {
        GetObjectMetadataResponse? head = await bucket.Tuning.Calls.RunAsync(bucket.Context, _ => bucket.HeadAsync(fullKey, cancel), cancel);
        if (head is null || head.ContentLength != size) return false;
        return tag is null || !bucket.Preset.Md5Tags || !IsMd5(head.ETag) || Bare(head.ETag).Equals(tag, StringComparison.OrdinalIgnoreCase);
    }

    private void Compare(string action, string md5, string? etag)
    {
        if (!bucket.Preset.Md5Tags || !IsMd5(etag) || Bare(etag!).Equals(md5, StringComparison.OrdinalIgnoreCase)) return;
        throw bucket.Failure(action, "the bytes arrived changed (their MD5 differs)", "Try again; if it stays so, something between here and the store is broken.", transient: true);
    }

    private static S3Part Hash(int number, byte[] buffer, int count)
    {
        ReadOnlySpan<byte> bytes = buffer.AsSpan(0, count);
        return new S3Part(number, count, Convert.ToHexStringLower(SHA256.HashData(bytes)), Convert.ToHexStringLower(MD5.HashData(bytes)), "");
    }

    /// <summary>32 hex digits, and <c>-N</c> for a multipart object.</summary>
    private static bool IsMd5(string? etag) => etag is not null && Bare(etag).Split('-') is [{ Length: 32 } hash, ..] && hash.All(char.IsAsciiHexDigit);
    private static string Bare(string etag) => etag.Trim('"');
    private static HttpStatusCode? Status(StoreException e) => (e.InnerException as AmazonServiceException)?.StatusCode;
    private static string? Code(StoreException e) => (e.InnerException as AmazonServiceException)?.ErrorCode;
}
