using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Xml;
using Amazon.Runtime;
using Amazon.S3;
using Backup.Policies;

namespace Backup.Stores.S3;

/// <summary>The one place where the SDK's and the network's failures become the user's words.</summary>
internal static class S3Errors
{
    /// <summary>Null when it is none of the world's failures but a bug, which then crashes with its stack.</summary>
    /// <param name="action">What was being done, such as <c>uploading app/data</c>.</param>
    /// <param name="waited">How long the call was given; said when it ran into its deadline.</param>
    internal static StoreException? Translate(S3StorePolicy policy, string action, TimeSpan waited, Exception e)
    {
        string host = HostOf(policy);
        return e switch
        {
            StoreException known => known,
            AmazonServiceException service => OfService(service),
            OperationCanceledException or TimeoutException => Make($"no answer from {host} within {waited.TotalSeconds:0.#} s", NetworkHint, true),
            _ when Find<AuthenticationException>(e) is { } tls => Make($"TLS with {host} failed: {(tls.InnerException ?? tls).Message}",
                "Check the endpoint's certificate and this machine's clock; for a certificate authority of your own set \"caFile\".", false),
            _ when Find<SocketException>(e) is { } socket => OfSocket(socket),
            HttpRequestException or IOException => Make($"the connection to {host} broke: {e.Message}", NetworkHint, true),
            XmlException => Make($"{host} answers something that is not S3: {e.Message}", EndpointHint, false),
            AmazonClientException => Make(e.Message, EndpointHint, false),
            _ => null,
        };

        StoreException Make(string reason, string hint, bool transient, FailureKind kind = FailureKind.Failed) =>
            new(policy.Name, $"store '{policy.Name}': {action}: {reason}", hint, kind, e) { Transient = transient };

        StoreException OfSocket(SocketException socket) => socket.SocketErrorCode switch
        {
            SocketError.HostNotFound or SocketError.TryAgain or SocketError.NoData => Make($"the name {host} cannot be resolved",
                "Check \"endpoint\", \"region\" and \"bucket\", and this machine's DNS.", true),
            SocketError.ConnectionRefused => Make($"{host} refuses the connection", "Check \"endpoint\" with its port, and that the server runs.", true),
            _ => Make($"the connection to {host} broke: {socket.Message}", NetworkHint, true),
        };

        StoreException OfService(AmazonServiceException s)
        {
            string code = s.ErrorCode ?? "", said = $"{(int)s.StatusCode} {code}: {s.Message}";
            bool transient = (int)s.StatusCode is >= 500 or 408 or 429 || s.StatusCode == HttpStatusCode.OK
                || code is "RequestTimeout" or "SlowDown" or "InternalError" or "ServiceUnavailable" or "Throttling" or "ThrottlingException" or "RequestLimitExceeded"
                    or "TooManyRequests" or "BadDigest" or "IncompleteBody" or "OperationAborted" or "ConditionalRequestConflict" or "XAmzContentSHA256Mismatch";
            // a missing method is an answer, not a bad moment
            if (s.StatusCode == HttpStatusCode.NotImplemented) transient = false;
            return code switch
            {
                "SignatureDoesNotMatch" => Make("the secret key does not fit the access key", $"Check {policy.SecretAccessKey} ({policy.SecretAccessKey.JsonPath}) for typing errors and stray spaces.", false),
                "InvalidAccessKeyId" => Make("the store does not know this access key", $"Check {policy.AccessKeyId} ({policy.AccessKeyId.JsonPath}), and that the key belongs to this provider and region.", false),
                "RequestTimeTooSkewed" => Make("this machine's clock is wrong, the store refuses its signatures", "Set the clock (timedatectl set-ntp true) and try again.", false),
                "NoSuchBucket" => Make($"there is no bucket '{policy.Bucket}' at {host}", "Create it, or check \"bucket\", \"region\" and \"addressing\".", false, FailureKind.NotFound),
                "PublicEndpointForbidden" => Make("Alibaba OSS no longer serves data through its public host name to accounts opened after March 2025",
                    "Set \"endpoint\" to the internal one (https://s3.oss-REGION-internal.aliyuncs.com, inside the region), or bind your own domain to the bucket and use it with \"addressing\": \"custom-domain\".", false),
                "SecondLevelDomainForbidden" or "PathStyleDomainForbidden" => Make("the store wants the bucket in the host name",
                    "Set \"addressing\": \"virtual\" (or remove \"addressing\": the provider's preset knows).", false),
                "InvalidStorageClass" => Make($"the store does not know the storage class '{policy.StorageClass}'", "Use a class that the store has, or remove \"storageClass\".", false),
                "InvalidArgument" when policy.StorageClass is not null => Make($"{said} (it may not know the storage class '{policy.StorageClass}')", "Use a class that the store has, or remove \"storageClass\".", false),
                "InvalidObjectState" => Make("the object lies in an archive class and cannot be read at once", "Restore (thaw) it in the provider's console or with its tool first, then try again.", false),
                "AuthorizationHeaderMalformed" or "PermanentRedirect" or "TemporaryRedirect" or "IllegalLocationConstraintException" => Make($"the bucket is in another region or host: {s.Message}",
                    "Set \"region\" (and \"endpoint\") to the bucket's own.", false),
                "PreconditionFailed" => Make("an object with this key exists already", "Keys are made to be unique: look who else writes below this prefix.", false),
                _ when s.StatusCode is HttpStatusCode.MovedPermanently or HttpStatusCode.TemporaryRedirect or HttpStatusCode.Found => Make("the server redirects: this is not the bucket's own endpoint",
                    "Set \"region\" and \"endpoint\" to the bucket's own.", false),
                _ when s.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized => Make($"access denied ({said})",
                    "The key needs to read, write, list and delete below the prefix, and to abort multipart uploads.", false),
                _ => Make(said, transient ? "The store has trouble: try again later." : EndpointHint, transient),
            };
        }
    }

    private const string NetworkHint = "Check the network to the store; an interrupted backup leaves nothing half done, so just run it again.";
    private const string EndpointHint = "Check \"endpoint\", \"region\", \"provider\" and \"addressing\" of the store.";

    private static string HostOf(S3StorePolicy policy) => S3Presets.Endpoint(policy).Authority;

    private static T? Find<T>(Exception? e) where T : Exception
    {
        for (; e is not null; e = e.InnerException)
            if (e is T found) return found;
        return null;
    }
}
