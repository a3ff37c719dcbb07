using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3.Model;
using Backup.Policies;
using Backup.Stores.S3;

namespace Backup.Stores;

/// <summary>
/// Objects in a bucket of any S3-compatible store. Nothing beyond the oldest common ground is required: no conditional writes, no versioning,
/// no bulk delete, no listing of uploads; keys are unique, so nothing is ever overwritten.
/// </summary>
public sealed class S3ObjectStore : IObjectStore
{
    private readonly Bucket _bucket;

    public S3ObjectStore(S3StorePolicy policy, RunContext context) : this(policy, context, S3Tuning.Default) { }

    internal S3ObjectStore(S3StorePolicy policy, RunContext context, S3Tuning tuning) => _bucket = new Bucket(policy, context, tuning);

    public string Name => _bucket.Policy.Name;
    public string Location => $"s3://{_bucket.Name}/{_bucket.Policy.Prefix}".TrimEnd('/');

    /// <summary>No request is made before there is a part to send, so this cannot fail on the store's side.</summary>
    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel)
    {
        string fullKey = _bucket.FullKey(key);
        cancel.ThrowIfCancellationRequested();
        return Task.FromResult<ObjectWriter>(new S3ObjectWriter(_bucket, fullKey, sizeHint));
    }

    public async Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (length is { } wanted) ArgumentOutOfRangeException.ThrowIfNegative(wanted, nameof(length));
        return await S3ReadStream.OpenAsync(_bucket, _bucket.FullKey(key), offset, length, cancel);
    }

    public async Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel) =>
        await _bucket.HeadAsync(_bucket.FullKey(key), cancel) is { } head ? new ObjectInfo(key, head.ContentLength, Utc(head.LastModified)) : null;

    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        string full = _bucket.Prefix + ObjectKey.CheckPrefix(prefix);
        string? next = null;
        do
        {
            // the first page is retried by the caller's RetryingObjectStore, which cannot resume a listing: later pages are retried here
            ListObjectsV2Response page = next is null
                ? await ListPageAsync(full, next, cancel)
                : await _bucket.Tuning.Calls.RunAsync(_bucket.Context, _ => ListPageAsync(full, next, cancel), cancel);
            foreach (S3Object found in page.S3Objects ?? [])
            {
                if (!found.Key.StartsWith(full, StringComparison.Ordinal)) continue;
                string key = found.Key[_bucket.Prefix.Length..];
                if (ObjectKey.IsValid(key)) yield return new ObjectInfo(key, found.Size ?? 0, Utc(found.LastModified));
            }
            next = page.IsTruncated == true ? page.NextContinuationToken : null;
        }
        while (next is not null);
    }

    public Task DeleteAsync(string key, CancellationToken cancel) => _bucket.DeleteAsync(_bucket.FullKey(key), cancel);

    public async Task<int> AbortUploadsAsync(string key, CancellationToken cancel)
    {
        string fullKey = _bucket.FullKey(key);
        int count = 0;
        await foreach (MultipartUpload upload in UploadsAsync(fullKey, CannotListUploads, cancel))
        {
            if (upload.Key != fullKey) continue;
            await _bucket.AbortAsync(fullKey, upload.UploadId, cancel);
            count++;
        }
        return count;
    }

    public async IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        string full = _bucket.Prefix + ObjectKey.CheckPrefix(prefix);
        await foreach (MultipartUpload upload in UploadsAsync(full, e => CannotListUploads(e) || e.StatusCode == HttpStatusCode.Forbidden, cancel))
        {
            if (!upload.Key.StartsWith(full, StringComparison.Ordinal)) continue;
            string key = upload.Key[_bucket.Prefix.Length..];
            if (ObjectKey.IsValid(key)) yield return new UnfinishedUpload(key, Utc(upload.Initiated));
        }
    }

    public ValueTask DisposeAsync()
    {
        _bucket.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<ListObjectsV2Response> ListPageAsync(string fullPrefix, string? next, CancellationToken cancel)
    {
        string action = $"listing {_bucket.Name}/{fullPrefix}";
        ListObjectsV2Response page = await _bucket.CallAsync(action, _bucket.Tuning.Timeouts.Call, (s3, token) => s3.ListObjectsV2Async(
            new ListObjectsV2Request { BucketName = _bucket.Name, Prefix = fullPrefix == "" ? null : fullPrefix, ContinuationToken = next }, token), cancel);
        // a log-in page or another web server answers 200 too, and the SDK reads it as an empty bucket
        if (page.Name != _bucket.Name)
        {
            throw _bucket.Failure(action, $"the answer is not a listing of bucket '{_bucket.Name}'",
                "Something else answers there (another port, a proxy's log-in page): check \"endpoint\", \"bucket\" and \"addressing\".", transient: false);
        }
        return page;
    }

    /// <param name="none">Answers that stand for an empty listing.</param>
    private async IAsyncEnumerable<MultipartUpload> UploadsAsync(
        string fullPrefix, Func<AmazonServiceException, bool> none, [EnumeratorCancellation] CancellationToken cancel)
    {
        string? keyMarker = null, idMarker = null;
        do
        {
            ListMultipartUploadsResponse page;
            try
            {
                page = await _bucket.CallAsync($"looking for unfinished uploads of {fullPrefix}", _bucket.Tuning.Timeouts.Call, (s3, token) => s3.ListMultipartUploadsAsync(
                    new ListMultipartUploadsRequest
                    {
                        BucketName = _bucket.Name, Prefix = fullPrefix == "" ? null : fullPrefix, KeyMarker = keyMarker, UploadIdMarker = idMarker,
                    }, token), cancel);
            }
            catch (StoreException e) when (e.InnerException is AmazonServiceException s && none(s))
            {
                yield break;
            }
            foreach (MultipartUpload upload in page.MultipartUploads ?? []) yield return upload;
            (keyMarker, idMarker) = page.IsTruncated == true ? (page.NextKeyMarker, page.NextUploadIdMarker) : (null, null);
        }
        while (keyMarker is not null);
    }

    /// <summary>Not part of what Alibaba's S3 interface promises, and absent in small servers.</summary>
    private bool CannotListUploads(AmazonServiceException e) =>
        e.StatusCode is HttpStatusCode.NotImplemented or HttpStatusCode.MethodNotAllowed || e.ErrorCode is "NotImplemented" or "MethodNotAllowed"
        || _bucket.Policy.Provider == S3Provider.AliyunOss && e.StatusCode == HttpStatusCode.BadRequest;

    private static DateTimeOffset Utc(DateTime? modified) => modified is { } time ? new DateTimeOffset(time.ToUniversalTime()) : DateTimeOffset.UnixEpoch;
}
