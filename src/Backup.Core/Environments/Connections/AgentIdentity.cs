using System.Security.Cryptography;
using System.Text;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>
/// By what an agent knows us: a key, and its signature over the MD5 of the agent's secret or, without one, of a fixed text. It never changes, so
/// it is as good as a password to whoever sees it.
/// </summary>
/// <param name="PublicKey">The key's SubjectPublicKeyInfo, in hex.</param>
/// <param name="Signature">Base64 without padding; agents refuse padding.</param>
internal sealed record AgentIdentity(string PublicKey, string Signature)
{
    private const string WithoutSecret = "Portainer-App";
    private const string FileName = "portainer-agent.key";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Reads the secrets that the policy names; makes a key of our own where it is needed and missing.</summary>
    /// <param name="stateDirectory">Where our own key is kept.</param>
    internal static AgentIdentity Of(PortainerAgentConnectPolicy policy, string stateDirectory, RunContext context)
    {
        using ECDsa key = policy.Key is { } given ? Imported(given)
            // With a secret any key will do, so there is nothing to keep.
            : policy.Secret is not null ? ECDsa.Create(ECCurve.NamedCurves.nistP256)
            : Own(Path.Combine(stateDirectory, FileName), context);
        byte[] digest = MD5.HashData(Encoding.UTF8.GetBytes(policy.Secret?.Read() ?? WithoutSecret));
        byte[] signature = key.SignHash(digest, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return new AgentIdentity(Convert.ToHexStringLower(key.ExportSubjectPublicKeyInfo()), Convert.ToBase64String(signature).TrimEnd('='));
    }

    private static ECDsa Imported(Secret pem)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(pem.Read());
            return key;
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            key.Dispose();
            throw new BackupException($"{pem.JsonPath}: {pem.Reference} is no private key of an agent: {e.Message}",
                "It is the file portainer.key from Portainer's data directory, in PEM form.", FailureKind.Usage, e);
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    /// <summary>An agent that belongs to a key obeys no other until it is restarted: a key that is there is never replaced.</summary>
    private static ECDsa Own(string path, RunContext context)
    {
        try
        {
            if (!File.Exists(path)) Make(path, context);
            var key = ECDsa.Create();
            key.ImportFromPem(File.ReadAllText(path));
            return key;
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            throw new BackupException($"{path}, the key by which Portainer agents know this host, is damaged: {e.Message}",
                "Bring it back from a copy. Else delete it and restart the agents that belong to it: a new one is made.", inner: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"{path}, the key by which Portainer agents know this host, cannot be read or made: {e.Message}",
                "Run as the user who owns it, or name another state directory in BACKUP_STATE_DIR.", inner: e);
        }
    }

    private static void Make(string path, RunContext context)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!, OwnerOnly | UnixFileMode.UserExecute);
        using var made = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        string temporary = $"{path}.{context.NewId()}";
        using (var file = new FileStream(temporary, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnerOnly }))
        {
            file.Write(Encoding.ASCII.GetBytes(made.ExportECPrivateKeyPem() + "\n"));
            file.Flush(flushToDisk: true);
        }
        try
        {
            // Not over one that another process made meanwhile: it may be the one that an agent belongs to by now.
            File.Move(temporary, path, overwrite: false);
            context.Events.Report(new RunEvent.Warning($"made a key of this host's own for Portainer agents: {path}", "Keep a copy of it: an agent that it pairs with obeys no other key until it is restarted."));
        }
        catch (IOException) when (File.Exists(path))
        {
            File.Delete(temporary);
        }
    }
}
