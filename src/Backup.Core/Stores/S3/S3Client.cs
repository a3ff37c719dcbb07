using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Amazon.Runtime;
using Amazon.Runtime.Internal;
using Amazon.S3;
using Backup.Policies;

namespace Backup.Stores.S3;

/// <summary>The SDK's client with the settings that every store seen accepts: no trailers, no aws-chunked, no retries of its own.</summary>
internal sealed class S3Client : AmazonS3Client
{
    private readonly Uri? _bucketHost;
    private readonly HttpClient _http;

    private S3Client(AWSCredentials credentials, AmazonS3Config config, Uri? bucketHost, HttpClient http) : base(credentials, config)
    {
        _bucketHost = bucketHost;
        _http = http;
    }

    internal static S3Client Create(S3StorePolicy policy, S3Tuning tuning)
    {
        Uri endpoint = S3Presets.Endpoint(policy);
        S3Addressing addressing = S3Presets.Addressing(policy);
        var credentials = new BasicAWSCredentials(policy.AccessKeyId.Read(), policy.SecretAccessKey.Read());
        var http = new HttpClient(new QuietExpect(Handler(policy, tuning))) { Timeout = Timeout.InfiniteTimeSpan };
        return new S3Client(credentials, new AmazonS3Config
        {
            ServiceURL = endpoint.AbsoluteUri,
            ForcePathStyle = addressing == S3Addressing.Path,
            AuthenticationRegion = S3Presets.Region(policy),
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
            MaxErrorRetry = 0,
            MaxStaleConnectionRetries = 0,
            ThrottleRetries = false,
            BufferSize = 128 << 10,
            DisableS3ExpressSessionAuth = true,
            HttpClientFactory = new OneClient(http),
        }, addressing == S3Addressing.CustomDomain ? endpoint : null, http);
    }

    protected override void CustomizeRuntimePipeline(RuntimePipeline pipeline)
    {
        base.CustomizeRuntimePipeline(pipeline);
        pipeline.AddHandlerBefore<Signer>(new BucketHost(this));
    }

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing) _http.Dispose();
    }

    private static SocketsHttpHandler Handler(S3StorePolicy policy, S3Tuning tuning)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = tuning.Timeouts.Connect,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30), // below the idle limit of the load balancers in front of such stores
            PooledConnectionLifetime = TimeSpan.FromMinutes(5), // follow DNS
        };
        if (policy.CaFile is { } ca)
        {
            var chain = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            try
            {
                chain.CustomTrustStore.ImportFromPemFile(ca);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
            {
                throw new StoreException(policy.Name, $"store '{policy.Name}': cannot read the certificate authority {ca}: {e.Message}",
                    "\"caFile\" names a PEM file with the certificate that signed the server's.", FailureKind.Usage, e);
            }
            handler.SslOptions.CertificateChainPolicy = chain;
        }
        if (tuning.ConnectTo is { } host)
        {
            handler.ConnectCallback = async (context, cancel) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    await socket.ConnectAsync(host, context.DnsEndPoint.Port, cancel);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }
        return handler;
    }

    /// <summary>
    /// The SDK announces every upload by <c>Expect: 100-continue</c>. A server that refuses without reading makes .NET send a body of up to 1 KiB
    /// all the same, and Ceph takes it for the next request: so small bodies go without; big ones keep it, as it saves sending 8 MiB to a refusal.
    /// </summary>
    private sealed class QuietExpect(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        private const long Small = 64 << 10;

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel)
        {
            HttpContentHeaders? content = request.Content?.Headers;
            if (content?.ContentLength is null or <= Small) request.Headers.ExpectContinue = false;
            return base.SendAsync(request, cancel);
        }
    }

    private sealed class OneClient(HttpClient http) : HttpClientFactory
    {
        public override HttpClient CreateHttpClient(IClientConfig clientConfig) => http;
        public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;
        public override bool DisposeHttpClientsAfterUse(IClientConfig clientConfig) => false;
    }

    /// <summary>A custom domain already stands for the bucket: the SDK has no such mode, so its host is put right before the request is signed.</summary>
    private sealed class BucketHost(S3Client client) : PipelineHandler
    {
        public override Task<T> InvokeAsync<T>(IExecutionContext executionContext)
        {
            if (client._bucketHost is { } host) executionContext.RequestContext.Request.Endpoint = host;
            return base.InvokeAsync<T>(executionContext);
        }
    }
}
