namespace Backup.Policies;

internal static class SecretReader
{
    internal static string Read(Secret secret) => throw new NotSupportedException(secret.Reference);
}
