namespace Backup.Policies;

/// <summary>
/// A reference to a secret: <c>env:NAME</c>, <c>file:PATH</c> or <c>cred:NAME</c> (a systemd credential). The value is read when it is needed and
/// never printed.
/// </summary>
/// <param name="Reference">As written in the policy.</param>
/// <param name="JsonPath">Where it stands in the policy, for messages.</param>
public sealed record Secret(string Reference, string JsonPath)
{
    /// <summary>Reads the value; trailing line ends of a file are dropped.</summary>
    /// <exception cref="BackupException">Usage: the variable is not set, the file cannot be read or is readable by others.</exception>
    public string Read() => SecretReader.Read(this);

    public override string ToString() => Reference;
}
