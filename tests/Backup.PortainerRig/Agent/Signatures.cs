using System.Security.Cryptography;
using System.Text;

namespace Backup.PortainerRig.Agent;

/// <summary>Who may use the agent: ECDSA over the MD5 of the secret or of a fixed text, and the pairing with the first key (agent 1.3).</summary>
internal sealed class Signatures(string? secret)
{
    internal const string PublicKeyHeader = "X-PortainerAgent-PublicKey";
    internal const string SignatureHeader = "X-PortainerAgent-Signature";
    private const string DefaultMessage = "Portainer-App";

    private readonly Lock _lock = new();
    private ECDsa? _pinned;

    /// <summary>A key owns the agent. Never so with a secret (agent 1.3).</summary>
    internal bool Paired
    {
        get { lock (_lock) return _pinned is not null; }
    }

    /// <summary>Forgets the key, as a restart of the agent does (agent 1.3).</summary>
    internal void Restart()
    {
        lock (_lock) _pinned = null;
    }

    /// <summary>Null when the request may pass, else message and details of the 403 (agent 1.3).</summary>
    internal (string Message, string Details)? Refuse(string? publicKey, string? signature)
    {
        if (string.IsNullOrEmpty(publicKey) || string.IsNullOrEmpty(signature)) return ("Missing request signature headers", "Unauthorized");
        const string Invalid = "Invalid request signature";
        ECDsa key;
        try
        {
            // The key is pinned before the signature is looked at: one foreign request locks the rightful owner out (agent 1.3).
            key = KeyFor(publicKey);
        }
        catch (FormatException)
        {
            return (Invalid, "encoding/hex: invalid byte");
        }
        catch (CryptographicException)
        {
            return (Invalid, "asn1: structure error");
        }
        byte[] bytes;
        try
        {
            // Raw base64: padding is an error (agent 1.3).
            if (signature.Contains('=')) throw new FormatException();
            bytes = Convert.FromBase64String(signature + new string('=', (4 - signature.Length % 4) % 4));
        }
        catch (FormatException)
        {
            return (Invalid, "illegal base64 data at input byte " + (signature.Length - 2));
        }
        byte[] digest = MD5.HashData(Encoding.UTF8.GetBytes(string.IsNullOrEmpty(secret) ? DefaultMessage : secret));
        // Two halves of the field's size, nothing else (agent 1.3).
        bool valid = bytes.Length == 2 * (key.KeySize / 8) && key.VerifyHash(digest, bytes, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return valid ? null : (Invalid, "Unauthorized");
    }

    /// <summary>What a client sends in the two headers (agent 1.3).</summary>
    internal static (string PublicKey, string Signature) Sign(ECDsa key, string? secret)
    {
        byte[] digest = MD5.HashData(Encoding.UTF8.GetBytes(string.IsNullOrEmpty(secret) ? DefaultMessage : secret));
        return (Convert.ToHexStringLower(key.ExportSubjectPublicKeyInfo()),
            Convert.ToBase64String(key.SignHash(digest, DSASignatureFormat.IeeeP1363FixedFieldConcatenation)).TrimEnd('='));
    }

    private ECDsa KeyFor(string publicKey)
    {
        lock (_lock)
        {
            if (_pinned is not null) return _pinned;
            var key = ECDsa.Create();
            key.ImportSubjectPublicKeyInfo(Convert.FromHexString(publicKey), out _);
            if (string.IsNullOrEmpty(secret)) _pinned = key;
            return key;
        }
    }
}
