using System.Net.Sockets;

namespace Backup.Environments.Connections;

/// <summary>An engine behind a socket of this host.</summary>
public static class UnixSocketConnection
{
    /// <param name="url"><c>unix:///path</c>.</param>
    public static DockerConnection Create(Uri url)
    {
        string path = Uri.UnescapeDataString(url.AbsolutePath);
        var address = new UnixDomainSocketEndPoint(path);
        SocketsHttpHandler handler = DockerConnection.NewHandler(), blocking = DockerConnection.NewHandler();
        handler.ConnectCallback = (_, cancel) => ConnectAsync(socket => socket.ConnectAsync(address, cancel));
        blocking.ConnectCallback = (_, _) => ConnectAsync(socket =>
        {
            // Without waiting: a socket that was awaited once never blocks again. A local one is connected at once.
            socket.Connect(address);
            return ValueTask.CompletedTask;
        });
        return new DockerConnection(handler, new Uri("http://docker/"), "unix://" + path) { Local = true, Blocking = blocking };
    }

    private static async ValueTask<Stream> ConnectAsync(Func<Socket, ValueTask> connect)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await connect(socket).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
