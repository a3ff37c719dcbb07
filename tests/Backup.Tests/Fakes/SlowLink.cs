using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Backup.Tests.Fakes;

/// <summary>A link of loopback that carries only so many bytes a second each way, whatever passes over it. All its connections share it.</summary>
public sealed class SlowLink : IAsyncDisposable
{
    private const int Piece = 16 * 1024;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Lane _up, _down;
    private readonly int _target;
    private readonly Task _accepting;

    public SlowLink(int target, double bytesPerSecond)
    {
        _target = target;
        _up = new Lane(bytesPerSecond);
        _down = new Lane(bytesPerSecond);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public double BytesPerSecond
    {
        set => (_up.Rate, _down.Rate) = (value, value);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var open = new List<Task>();
        try
        {
            while (true) open.Add(ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
        }
        catch (Exception e) when (_stop.IsCancellationRequested && e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(open);
        }
    }

    private async Task ServeAsync(TcpClient near)
    {
        using (near)
        using (var far = new TcpClient())
        {
            try
            {
                // Little is to be under way: what a sender got rid of has passed.
                near.ReceiveBufferSize = near.SendBufferSize = far.ReceiveBufferSize = far.SendBufferSize = 4 * Piece;
                await far.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
                Task[] both = [CarryAsync(near.Client, far.Client, _up, either.Token), CarryAsync(far.Client, near.Client, _down, either.Token)];
                // Nobody here ends only one half of a connection.
                await await Task.WhenAny(both);
                await either.CancelAsync();
                await Task.WhenAll(both);
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // One of the two ends went away; the other sees it.
            }
        }
    }

    private static async Task CarryAsync(Socket from, Socket to, Lane lane, CancellationToken cancel)
    {
        byte[] buffer = new byte[Piece];
        for (int n; (n = await from.ReceiveAsync(buffer, cancel)) > 0;)
        {
            await lane.PassAsync(n, cancel);
            for (int sent = 0; sent < n;) sent += await to.SendAsync(buffer.AsMemory(sent, n - sent), cancel);
        }
        to.Shutdown(SocketShutdown.Send);
    }

    private sealed class Lane(double rate)
    {
        private readonly Stopwatch _time = Stopwatch.StartNew();
        private double _free;

        public double Rate { get; set; } = rate;

        public async Task PassAsync(int bytes, CancellationToken cancel)
        {
            TimeSpan wait;
            lock (_time)
            {
                double now = _time.Elapsed.TotalSeconds;
                _free = Math.Max(now, _free) + bytes / Rate;
                wait = TimeSpan.FromSeconds(_free - now);
            }
            if (wait > TimeSpan.FromMilliseconds(5)) await Task.Delay(wait, cancel);
        }
    }
}
