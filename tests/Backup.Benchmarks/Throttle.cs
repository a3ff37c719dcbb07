using System.Net;
using System.Net.Sockets;

/// <summary>A TCP proxy with a slow uplink that all its connections share.</summary>
internal static class Throttle
{
    private const int Piece = 16 * 1024;

    internal static async Task RunAsync(int port, int target, int bytesPerSecond)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        using var uplink = new SemaphoreSlim(1);
        while (true)
        {
            TcpClient client = await listener.AcceptTcpClientAsync();
            _ = ServeAsync(client, target, uplink, TimeSpan.FromSeconds((double)Piece / bytesPerSecond));
        }
    }

    private static async Task ServeAsync(TcpClient client, int target, SemaphoreSlim uplink, TimeSpan pause)
    {
        using (client)
        using (var server = new TcpClient())
        {
            await server.ConnectAsync(IPAddress.Loopback, target);
            Task down = server.GetStream().CopyToAsync(client.GetStream());
            try
            {
                byte[] buffer = new byte[Piece];
                for (int n; (n = await client.GetStream().ReadAsync(buffer)) > 0;)
                {
                    await uplink.WaitAsync();
                    await Task.Delay(pause);
                    uplink.Release();
                    await server.GetStream().WriteAsync(buffer.AsMemory(0, n));
                }
                server.Client.Shutdown(SocketShutdown.Send);
                await down;
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                Console.Error.WriteLine($"throttle: a connection ended: {e.Message}");
            }
        }
    }
}
