using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>An engine behind a TCP port, in the clear or by TLS with an own authority and a client certificate.</summary>
public static class TcpConnection
{
    private const int PlainPort = 2375;
    private const int TlsPort = 2376;

    /// <param name="url"><c>tcp://host:port</c>; <c>https://</c> is TLS even without <paramref name="tls"/>.</param>
    /// <exception cref="BackupException">A certificate or key cannot be read.</exception>
    public static DockerConnection Create(Uri url, TlsPolicy? tls)
    {
        bool secure = tls is not null || url.Scheme == "https";
        int port = url.IsDefaultPort || url.Port < 0 ? (secure ? TlsPort : PlainPort) : url.Port;
        SocketsHttpHandler handler = DockerConnection.NewHandler();
        if (tls is not null) handler.SslOptions = Options(tls);
        string path = url.AbsolutePath.TrimEnd('/') + "/";
        var address = new UriBuilder(secure ? "https" : "http", url.Host, port, path).Uri;
        return new DockerConnection(handler, address, url.OriginalString);
    }

    private static SslClientAuthenticationOptions Options(TlsPolicy tls)
    {
        var options = new SslClientAuthenticationOptions();
        if (tls.Ca is not null)
        {
            var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            trust.CustomTrustStore.ImportFromPem(ReadFile(tls.Ca, "certificate authority"));
            if (trust.CustomTrustStore.Count == 0) throw Unusable(tls.Ca, "certificate authority", "it holds no certificate in PEM form");
            options.CertificateChainPolicy = trust;
        }
        if (tls.Cert is not null) options.ClientCertificates = [ClientCertificate(tls.Cert, tls.Key)];
        return options;
    }

    private static X509Certificate2 ClientCertificate(string file, Secret? key)
    {
        string text = ReadFile(file, "client certificate");
        try
        {
            return X509Certificate2.CreateFromPem(text, key?.Read() ?? text);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw Unusable(file, "client certificate", $"it does not go with its key ({key?.Reference ?? "in the same file"}): {e.Message}");
        }
    }

    private static string ReadFile(string file, string what)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(file, what, e.Message);
        }
    }

    private static BackupException Unusable(string file, string what, string why) => new(
        $"the {what} {file} cannot be used: {why}", "check the paths under \"tls\" in the policy: PEM files that this user can read", FailureKind.Usage);
}
