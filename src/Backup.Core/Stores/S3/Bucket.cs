using System.Net;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Backup.Policies;

namespace Backup.Stores.S3;

/// <summary>One bucket as the store's parts share it: the client, made when it is first needed, full keys, deadlines and the translation of failures.</summary>
internal sealed class Bucket(S3StorePolicy policy, RunContext context, S3Tuning tuning) : IDisposable
{
    private readonly Lazy<S3Client> _client = new(() => S3Client.Create(policy, tuning));

    internal S3StorePolicy Policy => policy;
    internal S3Preset Preset { get; } = S3Presets.Of(policy.Provider);
    internal RunContext Context => context;
    internal S3Tuning Tuning => tuning;
    internal PartBuffers Buffers { get; } = new(PartBuffers.DefaultSpare);
    internal string Name => policy.Bucket;
    internal string Prefix { get; } = policy.Prefix == "" ? "" : policy.Prefix + "/";

    /// <summary>R2 refuses signed bodies in some forms; without TLS the body must be signed.</summary>
    internal bool UnsignedPayload => Preset.UnsignedPayload && S3Presets.Endpoint(policy).Scheme == Uri.UriSchemeHttps;

    internal string FullKey(string key) => Prefix + ObjectKey.Check(key);

    /// <summary>One request under a deadline; every failure of the world comes out as a <see cref="StoreException"/>.</summary>
    internal async Task<T> CallAsync<T>(string action, TimeSpan deadline, Func<IAmazonS3, CancellationToken, Task<T>> call, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        using var timer = new CancellationTokenSource(deadline, context.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancel);
        try
        {
            return await call(_client.Value, both.Token);
        }
        catch (Exception) when (cancel.IsCancellationRequested)
        {
            cancel.ThrowIfCancellationRequested();
            throw;
        }
        catch (Exception e) when (S3Errors.Translate(policy, action, deadline, e) is { } translated)
        {
            throw translated;
        }
    }

    internal StoreException Failure(string action, string reason, string hint, bool transient, Exception? inner = null) =>
        new(policy.Name, $"store '{policy.Name}': {action}: {reason}", hint, inner: inner) { Transient = transient };

    /// <summary>Null when there is no such object.</summary>
    internal Task<GetObjectMetadataResponse?> HeadAsync(string fullKey, CancellationToken cancel) =>
        AbsentIsNull(CallAsync($"looking at {fullKey}", tuning.Timeouts.Call,
            (s3, token) => s3.GetObjectMetadataAsync(new GetObjectMetadataRequest { BucketName = Name, Key = fullKey }, token), cancel));

    internal static async Task<T?> AbsentIsNull<T>(Task<T> call) where T : class
    {
        try
        {
            return await call;
        }
        catch (StoreException e) when (e.InnerException is AmazonServiceException { StatusCode: HttpStatusCode.NotFound, ErrorCode: not "NoSuchBucket" })
        {
            return null;
        }
    }

    internal Task DeleteAsync(string fullKey, CancellationToken cancel) => AbsentIsNull(CallAsync($"deleting {fullKey}", tuning.Timeouts.Call,
        (s3, token) => s3.DeleteObjectAsync(new DeleteObjectRequest { BucketName = Name, Key = fullKey }, token), cancel));

    /// <summary>Discards an unfinished upload; one that is gone already is fine.</summary>
    internal Task AbortAsync(string fullKey, string uploadId, CancellationToken cancel) => AbsentIsNull(CallAsync($"aborting an upload of {fullKey}", tuning.Timeouts.Call,
        (s3, token) => s3.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = Name, Key = fullKey, UploadId = uploadId }, token), cancel));

    public void Dispose()
    {
        if (_client.IsValueCreated) _client.Value.Dispose();
    }
}
