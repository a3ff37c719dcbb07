using System.Net.Sockets;

namespace Backup.Environments.Connections;

/// <summary>An engine behind a socket of this host.</summary>
public static class UnixSocketConnection
{
    /// <param name="url"><c>unix:///path</c>.</param>
    public static DockerConnection Create(Uri url)
    {
        string path = Uri.UnescapeDataString(url.AbsolutePath);
        SocketsHttpHandler handler = DockerConnection.NewHandler();
        handler.ConnectCallback = async (_, cancel) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        };
        return new DockerConnection(handler, new Uri("http://docker/"), "unix://" + path);
    }
}
