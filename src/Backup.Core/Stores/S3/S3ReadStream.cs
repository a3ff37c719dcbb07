using System.Net;
using Amazon.Runtime;
using Amazon.S3.Model;

namespace Backup.Stores.S3;

/// <summary>
/// Bytes of one object from an offset on. A connection that breaks, stalls or ends early is opened again where it stopped; the object must then
/// still have the same size and ETag. (If-Match is not used: older Ceph refuses a correct one.)
/// </summary>
internal sealed class S3ReadStream : ReadOnlyStream
{
    private readonly Bucket _bucket;
    private readonly string _fullKey;
    private readonly string _action;
    private readonly string? _etag;
    private readonly long _total;
    private readonly long _end;
    private long _position;
    private GetObjectResponse? _response;
    private CancellationTokenSource _stall;
    private int _fruitless;

    private S3ReadStream(Bucket bucket, string fullKey, GetObjectResponse? response, long position, long end, long total)
    {
        (_bucket, _fullKey, _response, _position, _end, _total) = (bucket, fullKey, response, position, end, total);
        _etag = response?.ETag;
        _action = $"reading {fullKey}";
        _stall = new CancellationTokenSource(Timeout.InfiniteTimeSpan, bucket.Context.Time);
    }

    /// <summary>Null when there is no such object.</summary>
    internal static async Task<S3ReadStream?> OpenAsync(Bucket bucket, string fullKey, long offset, long? length, CancellationToken cancel)
    {
        GetObjectResponse? response = null;
        try
        {
            if (length != 0) response = await Bucket.AbsentIsNull(GetAsync(bucket, fullKey, offset, length is { } n ? offset + n : null, cancel));
            if (length != 0 && response is null) return null;
        }
        catch (StoreException e) when (e.InnerException is AmazonServiceException { StatusCode: HttpStatusCode.RequestedRangeNotSatisfiable })
        {
            // the range begins at or past the end: an object that is there has nothing to give
        }
        if (response is null) return await bucket.HeadAsync(fullKey, cancel) is null ? null : new S3ReadStream(bucket, fullKey, null, 0, 0, 0);
        try
        {
            long total = TotalOf(bucket, fullKey, response, offset);
            return new S3ReadStream(bucket, fullKey, response, offset, length is { } n && n < total - offset ? offset + n : total, total);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        while (_position < _end && buffer.Length > 0)
        {
            StoreException failure;
            try
            {
                _response ??= await ReopenAsync(cancel);
                int count = await ReadOnceAsync(buffer[..(int)Math.Min(buffer.Length, _end - _position)], cancel);
                if (count > 0)
                {
                    _position += count;
                    _fruitless = 0;
                    return count;
                }
                failure = _bucket.Failure(_action, $"the answer ended {_end - _position} bytes early", "Try again; if it stays so, a proxy between here and the store cuts long answers.", transient: true);
            }
            catch (StoreException e) when (e.Transient)
            {
                failure = e;
            }
            Drop();
            if (++_fruitless >= _bucket.Tuning.Parts.Attempts) throw failure;
            await Task.Delay(_bucket.Tuning.Parts.DelayAfter(_fruitless, _bucket.Context), _bucket.Context.Time, cancel);
        }
        return 0;
    }

    private async Task<int> ReadOnceAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        TimeSpan limit = _bucket.Tuning.Timeouts.Stall;
        if (_stall.IsCancellationRequested)
        {
            _stall.Dispose();
            _stall = new CancellationTokenSource(Timeout.InfiniteTimeSpan, _bucket.Context.Time);
        }
        CancellationTokenSource stall = _stall;
        using CancellationTokenRegistration link = cancel.UnsafeRegister(static s => ((CancellationTokenSource)s!).Cancel(), stall);
        stall.CancelAfter(limit);
        try
        {
            return await _response!.ResponseStream.ReadAsync(buffer, stall.Token);
        }
        catch (Exception e) when (!cancel.IsCancellationRequested && S3Errors.Translate(_bucket.Policy, _action, limit, e) is { } translated)
        {
            throw translated;
        }
        catch (Exception) when (cancel.IsCancellationRequested)
        {
            cancel.ThrowIfCancellationRequested();
            throw;
        }
        finally
        {
            stall.CancelAfter(Timeout.InfiniteTimeSpan);
        }
    }

    private async Task<GetObjectResponse> ReopenAsync(CancellationToken cancel)
    {
        GetObjectResponse response = await Bucket.AbsentIsNull(GetAsync(_bucket, _fullKey, _position, _end, cancel)) ?? throw Changed();
        try
        {
            if (TotalOf(_bucket, _fullKey, response, _position) != _total || response.ETag != _etag) throw Changed();
            return response;
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    private StoreException Changed() => _bucket.Failure(_action, "the object was replaced or deleted while it was read", "Look who else writes below this prefix, then try again.", transient: false);

    // a range is always asked for: without one the SDK hashes the body against the ETag, and stumbles over ETags that are no MD5
    private static Task<GetObjectResponse> GetAsync(Bucket bucket, string fullKey, long from, long? until, CancellationToken cancel) =>
        bucket.CallAsync($"reading {fullKey}", bucket.Tuning.Timeouts.Call, (s3, token) => s3.GetObjectAsync(new GetObjectRequest
        {
            BucketName = bucket.Name,
            Key = fullKey,
            ByteRange = new ByteRange(until is { } end ? $"bytes={from}-{end - 1}" : $"bytes={from}-"),
        }, token), cancel);

    /// <summary>The object's whole size, and the proof that the answer begins where it was asked to.</summary>
    private static long TotalOf(Bucket bucket, string fullKey, GetObjectResponse response, long from)
    {
        if (response.HttpStatusCode == HttpStatusCode.OK && from == 0) return response.ContentLength;
        string range = response.ContentRange ?? "";
        if (response.HttpStatusCode == HttpStatusCode.PartialContent && range.StartsWith($"bytes {from}-", StringComparison.Ordinal)
            && long.TryParse(range[(range.LastIndexOf('/') + 1)..], out long total)) return total;
        throw bucket.Failure($"reading {fullKey}", $"asked for bytes from {from}, the server answered {(int)response.HttpStatusCode} '{range}'",
            "The server, or a proxy before it, does not serve byte ranges: use another endpoint.", transient: false);
    }

    private void Drop()
    {
        _response?.Dispose();
        _response = null;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Drop();
            _stall.Dispose();
        }
        base.Dispose(disposing);
    }
}
