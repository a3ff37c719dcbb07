using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Backup.PortainerRig.Agent;

/// <summary>The certificate that an agent makes for itself at every start: RSA 2048, nobody's name, one year (agent 1.1).</summary>
internal static class SelfSigned
{
    /// <param name="forLoopback">One that a client which trusts it can check: an agent's own is for an address that nobody dials (agent 1.1).</param>
    internal static X509Certificate2 Certificate(bool forLoopback = false)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(forLoopback ? IPAddress.Loopback : IPAddress.Parse("10.0.1.17"));
        request.CertificateExtensions.Add(names.Build(critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        using X509Certificate2 made = request.CreateSelfSigned(now, now.AddYears(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }
}
