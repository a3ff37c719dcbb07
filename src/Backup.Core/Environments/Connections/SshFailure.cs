namespace Backup.Environments.Connections;

/// <summary>What ssh and the docker client write when they fail, in words that people can act on.</summary>
internal static class SshFailure
{
    private const int SshsOwn = 255;

    /// <summary>The connection ended before an engine answered.</summary>
    /// <param name="instead">What came in place of an answer.</param>
    internal static UnreachedException Of(Uri url, SshEnd end, string instead)
    {
        string said = end.Said.Length > 0 ? end.Said : $"exit code {end.Code}";
        bool Says(string text) => end.Said.Contains(text, StringComparison.OrdinalIgnoreCase);
        string to = Destination(url), host = url.DnsSafeHost;
        if (instead.Length > 0)
            return new($"instead of an engine, this answered: {instead}",
                $"see what is printed by: ssh {to} true — a login must print nothing there, and must let {User(url)} run commands");
        if (end.Code != SshsOwn)
            return Says("permission denied")
                ? new($"docker on {host} says: {said}", $"let {User(url)} use docker on {host}: usermod -aG docker {User(url)}")
                : new($"docker on {host} says: {said}", $"is the Docker engine running there? try: ssh {to} docker version");
        if (Says("host key") && Says("changed"))
            return new($"the host key of {host} has changed", $"find out why before you trust the new one; then: ssh-keygen -R {host}, and once by hand: ssh {to}");
        if (Says("host key"))
            return new($"the host key of {host} is not known: {said}", $"as the user that runs this program, connect once by hand and compare the key: ssh {to}");
        if (Says("permission denied"))
            return new($"ssh was not let in: {said}",
                $"give the user that runs this program a key without a passphrase, put it into authorized_keys on {host}, and try: ssh -o BatchMode=yes {to} true");
        if (Says("resolve hostname")) return new(said, "check the host name in the environment's \"connect\"");
        if (Says("refused")) return new(said, $"check host and port in the environment's \"connect\", and that sshd runs on {host}");
        if (Says("timed out") || Says("no route") || Says("unreachable")) return new(said, "check the address, and that no firewall is in between");
        return new(said, $"try by hand, as the user that runs this program: ssh -o BatchMode=yes {to} docker version");
    }

    /// <summary>There is no docker client, and the other way failed as well.</summary>
    internal static UnreachedException OfForwarding(Uri url, string socket, SshEnd end, string instead) => new(
        $"there is no docker command on {url.DnsSafeHost}, and its socket {socket} cannot be forwarded: {(end.Said.Length > 0 ? end.Said : instead.Length > 0 ? instead : "no answer")}",
        $"install the docker client there; or let {User(url)} open {socket} (group docker) and sshd forward it (AllowStreamLocalForwarding); "
        + $"another socket is written ssh://{url.Authority}/path/of/docker.sock");

    private static string Destination(Uri url) =>
        (url.Port > 0 ? $"-p {url.Port} " : "") + (url.UserInfo.Length > 0 ? Uri.UnescapeDataString(url.UserInfo) + "@" : "") + url.DnsSafeHost;

    private static string User(Uri url) => url.UserInfo.Length > 0 ? Uri.UnescapeDataString(url.UserInfo) : "the user";
}
