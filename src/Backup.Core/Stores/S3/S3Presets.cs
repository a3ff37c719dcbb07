using Backup.Policies;

namespace Backup.Stores.S3;

/// <summary>What differs between the stores that speak S3.</summary>
/// <param name="Endpoint">With <c>{region}</c>; null = the policy must name one.</param>
/// <param name="Addressing">How the bucket is addressed unless the policy says otherwise.</param>
/// <param name="Region">The region to sign for when the policy names none; null = it must.</param>
/// <param name="UnsignedPayload">Over https the body's SHA-256 is left out of the signature; Content-MD5 is sent all the same.</param>
/// <param name="CreateOnly"><c>If-None-Match: *</c> is known to work on PUT and CompleteMultipartUpload.</param>
/// <param name="Md5Tags">An ETag is the MD5 of the bytes, and the MD5 of the parts' MD5s for a multipart object.</param>
internal sealed record S3Preset(string? Endpoint, S3Addressing Addressing, string? Region, bool UnsignedPayload, bool CreateOnly, bool Md5Tags);

internal static class S3Presets
{
    // AWS with a default KMS key answers ETags that look like MD5s and are not, hence no Md5Tags there; Content-MD5 guards every body anyway
    internal static S3Preset Of(S3Provider provider) => provider switch
    {
        S3Provider.Aws => new("https://s3.{region}.amazonaws.com", S3Addressing.Virtual, null, false, CreateOnly: true, Md5Tags: false),
        S3Provider.AliyunOss => new("https://s3.oss-{region}.aliyuncs.com", S3Addressing.Virtual, null, false, false, Md5Tags: false),
        S3Provider.TencentCos => new("https://cos.{region}.myqcloud.com", S3Addressing.Virtual, null, false, false, Md5Tags: false),
        S3Provider.Minio => new(null, S3Addressing.Path, "us-east-1", false, false, Md5Tags: false),
        S3Provider.R2 => new(null, S3Addressing.Path, "auto", UnsignedPayload: true, CreateOnly: true, Md5Tags: false),
        S3Provider.B2 => new("https://s3.{region}.backblazeb2.com", S3Addressing.Virtual, null, false, false, Md5Tags: false),
        S3Provider.Ceph => new(null, S3Addressing.Path, "us-east-1", false, false, Md5Tags: true),
        S3Provider.Generic => new(null, S3Addressing.Path, "us-east-1", false, false, Md5Tags: false),
        _ => throw new ArgumentOutOfRangeException(nameof(provider), provider, null),
    };

    internal static string Region(S3StorePolicy policy) => policy.Region ?? Of(policy.Provider).Region ?? throw new StoreException(policy.Name,
        $"store '{policy.Name}' has no region", $"Name the region of the bucket in the store's \"region\", such as {Example(policy.Provider)}.", FailureKind.Usage);

    /// <summary>Scheme, host and port that requests go to, without bucket.</summary>
    internal static Uri Endpoint(S3StorePolicy policy)
    {
        if (policy.Endpoint is { } own) return own;
        string template = Of(policy.Provider).Endpoint ?? throw new StoreException(policy.Name, $"store '{policy.Name}' has no endpoint",
            policy.Provider == S3Provider.R2 ? "Set \"endpoint\" to https://ACCOUNT.r2.cloudflarestorage.com." : "Set \"endpoint\" to the server's URL, such as https://s3.example.com.",
            FailureKind.Usage);
        string region = Region(policy);
        // the mainland partition of AWS has a domain of its own
        if (policy.Provider == S3Provider.Aws && region.StartsWith("cn-", StringComparison.Ordinal)) template += ".cn";
        return new Uri(template.Replace("{region}", region));
    }

    internal static S3Addressing Addressing(S3StorePolicy policy) => policy.Addressing ?? Of(policy.Provider).Addressing;

    private static string Example(S3Provider provider) => provider switch
    {
        S3Provider.AliyunOss => "cn-hangzhou",
        S3Provider.TencentCos => "ap-guangzhou",
        S3Provider.B2 => "eu-central-003",
        _ => "eu-central-1",
    };
}
