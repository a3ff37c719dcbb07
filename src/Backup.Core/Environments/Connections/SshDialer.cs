using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Backup.Environments.Connections;

/// <summary>
/// Opens streams to an engine behind ssh: by <c>docker system dial-stdio</c> run there, or by forwarding its socket where there is no docker client.
/// </summary>
internal sealed class SshDialer(Uri url, string program)
{
    internal const int ConnectSeconds = 20;
    private const string DefaultSocket = "/var/run/docker.sock";

    /// <summary>Asked on each new connection, so that what is wrong is found here, where ssh's own words are at hand, and not in the first request.</summary>
    private static readonly byte[] Ping = "HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"u8.ToArray();

    private const int MaxHead = 16 * 1024;
    private static readonly TimeSpan SocketPoll = TimeSpan.FromMilliseconds(20);

    private readonly string? _socket = url.AbsolutePath.Length > 1 ? Uri.UnescapeDataString(url.AbsolutePath) : null;
    private volatile bool _forwards;

    /// <exception cref="UnreachedException">With the cause and its cure.</exception>
    internal async Task<Stream> ConnectAsync(CancellationToken cancel)
    {
        if (_forwards) return await ForwardAsync(cancel).ConfigureAwait(false);
        SshProcess ssh = SshProcess.Start(program, [.. Options("ClearAllForwardings=yes"), .. Destination(), .. DialCommand()]);
        try
        {
            if (await AnswersAsync(ssh.Stream, cancel).ConfigureAwait(false) is not { } wrong) return ssh.Stream;
            SshEnd end = await ssh.EndAsync(cancel).ConfigureAwait(false);
            if (!end.LacksDialStdio) throw SshFailure.Of(url, end, wrong);
        }
        catch
        {
            await ssh.Stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        await ssh.Stream.DisposeAsync().ConfigureAwait(false);
        Stream forwarded = await ForwardAsync(cancel).ConfigureAwait(false);
        _forwards = true;
        return forwarded;
    }

    private IEnumerable<string> DialCommand() =>
        _socket is null ? ["docker", "system", "dial-stdio"] : ["docker", "--host", Quote("unix://" + _socket), "system", "dial-stdio"];

    private async Task<Stream> ForwardAsync(CancellationToken cancel)
    {
        string socket = _socket ?? DefaultSocket;
        DirectoryInfo folder = Directory.CreateTempSubdirectory("backup-ssh-");
        string local = Path.Combine(folder.FullName, "s");
        // A shell's own "read" stays until its input ends, which it does when this program does, however that ends.
        SshProcess ssh = SshProcess.Start(program, [.. Options("ControlPath=none", "ExitOnForwardFailure=yes"), "-L", $"{local}:{socket}", .. Destination(), "read _"]);
        try
        {
            Stream stream = ssh.Carry(await LocalAsync(ssh, local, cancel).ConfigureAwait(false));
            if (await AnswersAsync(stream, cancel).ConfigureAwait(false) is not { } wrong) return stream;
            ssh.HangUp();
            throw SshFailure.OfForwarding(url, socket, await ssh.EndAsync(cancel).ConfigureAwait(false), wrong);
        }
        catch
        {
            await ssh.Stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            // The connection stays; nobody else is to come in by this way.
            folder.Delete(recursive: true);
        }
    }

    /// <summary>ssh makes its end of the forwarding once it is logged in.</summary>
    private async Task<Stream> LocalAsync(SshProcess ssh, string path, CancellationToken cancel)
    {
        while (true)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException)
            {
                socket.Dispose();
                if (ssh.HasEnded) throw SshFailure.Of(url, await ssh.EndAsync(cancel).ConfigureAwait(false), "");
                await Task.Delay(SocketPoll, cancel).ConfigureAwait(false);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
    }

    /// <summary>Null when an engine answered; else what came instead of it.</summary>
    private static async Task<string?> AnswersAsync(Stream stream, CancellationToken cancel)
    {
        byte[] head = new byte[MaxHead];
        int length = 0;
        try
        {
            await stream.WriteAsync(Ping, cancel).ConfigureAwait(false);
            await stream.FlushAsync(cancel).ConfigureAwait(false);
            while (length < head.Length)
            {
                int read = await stream.ReadAsync(head.AsMemory(length), cancel).ConfigureAwait(false);
                if (read == 0) break;
                length += read;
                // A HEAD has no body: the empty line is the answer's last.
                if (head.AsSpan(0, length).EndsWith("\r\n\r\n"u8) && head.AsSpan().StartsWith("HTTP/1."u8)) return null;
            }
        }
        catch (IOException)
        {
            // ssh ended before it took the question: its own words tell why.
        }
        return Encoding.UTF8.GetString(head, 0, Math.Min(length, 300)).Trim();
    }

    private static IEnumerable<string> Options(params string[] more)
    {
        string[] options =
        [
            "BatchMode=yes", string.Create(CultureInfo.InvariantCulture, $"ConnectTimeout={ConnectSeconds}"), "ServerAliveInterval=30", "ServerAliveCountMax=4",
            // Use a master that is there, but never become one: others would end with this process.
            "ControlMaster=no", "RemoteCommand=none", "LogLevel=INFO", .. more,
        ];
        return [.. options.SelectMany(o => new[] { "-o", o }), "-T", "-a", "-x"];
    }

    private IEnumerable<string> Destination()
    {
        if (url.UserInfo.Length > 0) yield return $"-l{Uri.UnescapeDataString(url.UserInfo)}";
        if (url.Port > 0) yield return string.Create(CultureInfo.InvariantCulture, $"-p{url.Port}");
        yield return "--";
        yield return url.DnsSafeHost;
    }

    /// <summary>For the shell there.</summary>
    private static string Quote(string text) => $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
