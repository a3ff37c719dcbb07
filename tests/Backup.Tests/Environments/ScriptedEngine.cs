using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Backup.Environments.Connections;

namespace Backup.Tests.Environments;

/// <summary>A server that answers with given bytes, for what no real engine can be made to do on demand. One request a connection.</summary>
public sealed class ScriptedEngine : IAsyncDisposable
{
    private readonly Socket _listener;
    private readonly string? _path;
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<string, Stream, Task> _answer;
    private readonly Task _serving;

    /// <param name="answer">Gets the request line (<c>GET /v1.41/info</c>) and the connection; it is closed afterwards.</param>
    /// <param name="local">Behind a unix socket instead of a TCP port.</param>
    public ScriptedEngine(Func<string, Stream, Task> answer, bool local = false)
    {
        _answer = answer;
        _path = local ? Path.Combine(Path.GetTempPath(), "bt-" + RandomNumberGenerator.GetHexString(12, lowercase: true) + ".sock") : null;
        _listener = local ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) : new Socket(SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(local ? new UnixDomainSocketEndPoint(_path!) : new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _serving = ServeAsync();
    }

    public string Version { get; init; } = """{"ApiVersion":"1.41","MinAPIVersion":"1.12","Version":"20.10.24","Os":"linux"}""";

    public List<string> Requests { get; } = [];

    public DockerConnection Connection() =>
        _path is null ? TcpConnection.Create(new Uri($"tcp://127.0.0.1:{((IPEndPoint)_listener.LocalEndPoint!).Port}"), null) : UnixSocketConnection.Create(new Uri("unix://" + _path));

    public static Task JsonAsync(Stream connection, string json, string status = "200 OK") => TextAsync(connection, json, status, "application/json");

    public static async Task TextAsync(Stream connection, string text, string status, string type = "text/plain") =>
        await connection.WriteAsync(Encoding.UTF8.GetBytes($"HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {Encoding.UTF8.GetByteCount(text)}\r\nConnection: close\r\n\r\n{text}"));

    /// <summary>The head of an answer that ends with its connection.</summary>
    public static async Task HeadAsync(Stream connection, string extra = "") =>
        await connection.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\n{extra}Connection: close\r\n\r\n"));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        if (_path is not null) File.Delete(_path);
        try
        {
            await _serving;
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // How a listener ends.
        }
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        while (true) _ = ServeOneAsync(await _listener.AcceptAsync(_stop.Token));
    }

    private async Task ServeOneAsync(Socket client)
    {
        using (client)
        {
            try
            {
                await using var stream = new NetworkStream(client);
                var head = new StringBuilder();
                byte[] one = new byte[1];
                while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(one, _stop.Token) == 1) head.Append((char)one[0]);
                string line = head.ToString().Split(" HTTP/")[0];
                lock (Requests) Requests.Add(line);
                if (line == "GET /version") await JsonAsync(stream, Version);
                else await _answer(line, stream);
                await stream.FlushAsync(_stop.Token);
                // Reads the request's body away: a close over unread bytes would be a reset.
                client.Shutdown(SocketShutdown.Send);
                byte[] rest = new byte[64 * 1024];
                while (await stream.ReadAsync(rest, _stop.Token) > 0) { }
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // The client went away, as several tests want it to.
            }
        }
    }
}
