using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Backup.Tests.Fakes;

/// <param name="Number">Counted from 1 over all connections.</param>
/// <param name="Target">Path and query as sent.</param>
public sealed record ProxiedRequest(int Number, string Method, string Target, IReadOnlyDictionary<string, string> Headers)
{
    public override string ToString() => $"{Method} {Target}";
}

/// <summary>What goes wrong with one request. Byte counts are of the body.</summary>
public abstract record ProxyFault
{
    private ProxyFault() { }

    /// <summary>The request is taken and not passed on; this is the answer.</summary>
    public sealed record Answer(int Status, string Body, string ContentType = "application/xml") : ProxyFault;

    /// <summary>The request is passed on and done, but the client sees a reset instead of the answer.</summary>
    public sealed record LoseAnswer : ProxyFault;

    public sealed record ResetRequest(long AfterBytes) : ProxyFault;
    public sealed record StallRequest(long AfterBytes) : ProxyFault;
    public sealed record ResetAnswer(long AfterBytes) : ProxyFault;
    public sealed record StallAnswer(long AfterBytes) : ProxyFault;

    /// <summary>The connection ends orderly in the middle of the body.</summary>
    public sealed record CutAnswer(long AfterBytes) : ProxyFault;

    public static Answer S3Error(int status, string code) => new(status, $"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planted by a test</Message></Error>");
}

/// <summary>
/// A strict HTTP/1.1 proxy on loopback in front of a plain-http server: passes bytes on, as slowly as told, and plants one fault per request where asked.
/// The Host header is passed as sent, so signatures stay valid.
/// </summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _connections = [];
    private readonly List<string> _requests = [];
    private readonly Pace _up = new(), _down = new();
    private readonly int _targetPort;
    private readonly Task _accepting;
    private int _number, _hits;

    public FaultProxy(int targetPort)
    {
        _targetPort = targetPort;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public Uri Url => new($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}");

    /// <summary>Asked once per request, before its body is read; null = no fault.</summary>
    public Func<ProxiedRequest, ProxyFault?> Fault { get; set; } = _ => null;

    /// <summary>How many planted faults took effect.</summary>
    public int Hits => Volatile.Read(ref _hits);

    /// <summary>Request bodies per second over all connections; 0 = as fast as it goes.</summary>
    public long UploadBytesPerSecond { get => _up.Rate; set => _up.Rate = value; }

    /// <summary>Answer bodies per second over all connections; 0 = as fast as it goes.</summary>
    public long DownloadBytesPerSecond { get => _down.Rate; set => _down.Rate = value; }

    /// <summary>Every request so far as <c>METHOD target</c>.</summary>
    public IReadOnlyList<string> Requests
    {
        get { lock (_requests) return [.. _requests]; }
    }

    /// <summary>Plants the fault on the first requests that match; later ones pass.</summary>
    public FaultProxy FailFirst(int times, Func<ProxiedRequest, bool> match, ProxyFault fault)
    {
        int left = times;
        Func<ProxiedRequest, ProxyFault?> before = Fault;
        Fault = request => before(request) ?? (match(request) && Interlocked.Decrement(ref left) >= 0 ? fault : null);
        return this;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        Task[] open;
        lock (_connections) open = [.. _connections];
        await Task.WhenAll(open);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                TcpClient client = await _listener.AcceptTcpClientAsync(_stop.Token);
                lock (_connections) _connections.Add(ServeAsync(client));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException && _stop.IsCancellationRequested)
        {
            // disposed
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        using (var server = new TcpClient())
        {
            try
            {
                client.NoDelay = server.NoDelay = true;
                await server.ConnectAsync(IPAddress.Loopback, _targetPort, _stop.Token);
                var down = new Peer(client.GetStream(), _stop.Token);
                var up = new Peer(server.GetStream(), _stop.Token);
                while (await ExchangeAsync(client, down, up)) { }
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or EndOfStreamException)
            {
                // one side hung up, a fault closed it, or the proxy ends
            }
        }
    }

    /// <summary>One request and its answer; false when the connection ends.</summary>
    private async Task<bool> ExchangeAsync(TcpClient client, Peer down, Peer up)
    {
        if (await down.HeadAsync() is not { } head) return false;
        string[] first = head.First.Split(' ');
        var request = new ProxiedRequest(Interlocked.Increment(ref _number), first[0], first[1], head.Fields);
        lock (_requests) _requests.Add(request.ToString());
        ProxyFault? fault = Fault(request);
        long length = head.Length ?? 0;
        if (head.Fields.ContainsKey("Transfer-Encoding")) throw new InvalidOperationException($"{request}: a chunked request body is refused by many stores");
        if (head.Fields.ContainsKey("Expect")) await down.WriteAsync("HTTP/1.1 100 Continue\r\n\r\n"u8.ToArray());

        if (fault is ProxyFault.Answer answer)
        {
            await down.SkipAsync(length, _up);
            Interlocked.Increment(ref _hits);
            byte[] body = Encoding.UTF8.GetBytes(answer.Body);
            await down.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {answer.Status} Planted\r\nContent-Type: {answer.ContentType}\r\nContent-Length: {body.Length}\r\n\r\n"));
            if (request.Method != "HEAD") await down.WriteAsync(body);
            return true;
        }
        await up.WriteAsync(head.Bytes(without: "Expect"));
        if (fault is ProxyFault.ResetRequest or ProxyFault.StallRequest)
        {
            long after = fault is ProxyFault.ResetRequest r ? r.AfterBytes : ((ProxyFault.StallRequest)fault).AfterBytes;
            if (after >= length) throw new InvalidOperationException($"{request}: the body has only {length} bytes, the fault at {after} cannot be hit");
            await down.CopyAsync(up, after, _up);
            return await BreakAsync(client, stall: fault is ProxyFault.StallRequest, reset: true);
        }
        await down.CopyAsync(up, length, _up);

        Head? reply;
        do reply = await up.HeadAsync();
        while (reply is not null && reply.Status is 100);
        if (reply is null) return false;
        bool bodiless = request.Method == "HEAD" || reply.Status is 204 or 304;
        if (fault is ProxyFault.LoseAnswer)
        {
            if (!bodiless) await up.SkipAsync(reply.Length ?? 0, _down);
            return await BreakAsync(client, stall: false, reset: true);
        }
        await down.WriteAsync(reply.Bytes());
        if (fault is ProxyFault.ResetAnswer or ProxyFault.StallAnswer or ProxyFault.CutAnswer)
        {
            long after = fault switch { ProxyFault.ResetAnswer a => a.AfterBytes, ProxyFault.StallAnswer a => a.AfterBytes, ProxyFault.CutAnswer a => a.AfterBytes, _ => 0 };
            if (after >= (reply.Length ?? 0)) throw new InvalidOperationException($"{request}: the answer has only {reply.Length} bytes, the fault at {after} cannot be hit");
            await up.CopyAsync(down, after, _down);
            return await BreakAsync(client, stall: fault is ProxyFault.StallAnswer, reset: fault is ProxyFault.ResetAnswer);
        }
        if (bodiless) return true;
        if (reply.Length is { } known) await up.CopyAsync(down, known, _down);
        else if (reply.Fields.GetValueOrDefault("Transfer-Encoding") == "chunked") await up.CopyChunksAsync(down, _down);
        else throw new InvalidOperationException($"{request}: an answer without a length");
        return !"close".Equals(reply.Fields.GetValueOrDefault("Connection"), StringComparison.OrdinalIgnoreCase);
    }

    private async Task<bool> BreakAsync(TcpClient client, bool stall, bool reset)
    {
        Interlocked.Increment(ref _hits);
        if (stall) await Task.Delay(Timeout.Infinite, _stop.Token);
        if (reset) client.LingerState = new LingerOption(true, 0);
        client.Close();
        return false;
    }

    private sealed record Head(string First, IReadOnlyDictionary<string, string> Fields, IReadOnlyList<string> Lines)
    {
        public int Status => int.Parse(First.Split(' ')[1], CultureInfo.InvariantCulture);
        public long? Length => Fields.TryGetValue("Content-Length", out string? text) ? long.Parse(text, CultureInfo.InvariantCulture) : null;

        public byte[] Bytes(string? without = null) => Encoding.Latin1.GetBytes(
            string.Join("\r\n", Lines.Where(l => without is null || !l.StartsWith(without + ":", StringComparison.OrdinalIgnoreCase))) + "\r\n\r\n");
    }

    /// <summary>Lets bytes through at a rate that all connections share.</summary>
    private sealed class Pace
    {
        private readonly Lock _lock = new();
        private long _free = Environment.TickCount64;

        public long Rate { get; set; }

        public Task TakeAsync(int bytes, CancellationToken cancel)
        {
            if (Rate <= 0) return Task.CompletedTask;
            long wait;
            lock (_lock)
            {
                long now = Environment.TickCount64;
                _free = Math.Max(_free, now) + bytes * 1000L / Rate;
                wait = _free - now;
            }
            return wait < 10 ? Task.CompletedTask : Task.Delay((int)wait, cancel);
        }
    }

    private sealed class Peer(NetworkStream stream, CancellationToken stop)
    {
        private readonly byte[] _buffer = new byte[32 << 10];
        private int _start, _end;

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes) => stream.WriteAsync(bytes, stop);

        public async Task<Head?> HeadAsync()
        {
            var lines = new List<string>();
            while (true)
            {
                if (await LineAsync() is not { } line) return null;
                if (line != "") lines.Add(line);
                else if (lines.Count > 0) break;
            }
            var fields = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            foreach (string line in lines.Skip(1)) fields[line[..line.IndexOf(':')]] = line[(line.IndexOf(':') + 1)..].Trim();
            return new Head(lines[0], fields, lines);
        }

        public async Task CopyAsync(Peer? to, long count, Pace pace)
        {
            while (count > 0)
            {
                if (_start == _end && !await FillAsync()) throw new EndOfStreamException();
                int part = (int)Math.Min(count, _end - _start);
                await pace.TakeAsync(part, stop);
                if (to is not null) await to.WriteAsync(_buffer.AsMemory(_start, part));
                _start += part;
                count -= part;
            }
        }

        public Task SkipAsync(long count, Pace pace) => CopyAsync(null, count, pace);

        public async Task CopyChunksAsync(Peer to, Pace pace)
        {
            while (true)
            {
                string line = await LineAsync() ?? throw new EndOfStreamException();
                await to.WriteAsync(Encoding.ASCII.GetBytes(line + "\r\n"));
                long size = long.Parse(line.Split(';')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                if (size == 0) break;
                await CopyAsync(to, size + 2, pace);
            }
            string? trailer;
            do
            {
                trailer = await LineAsync() ?? throw new EndOfStreamException();
                await to.WriteAsync(Encoding.ASCII.GetBytes(trailer + "\r\n"));
            }
            while (trailer != "");
        }

        private async Task<string?> LineAsync()
        {
            var line = new StringBuilder();
            while (true)
            {
                if (_start == _end && !await FillAsync()) return null;
                char c = (char)_buffer[_start++];
                if (c == '\n') return line.ToString().TrimEnd('\r');
                line.Append(c);
            }
        }

        private async Task<bool> FillAsync()
        {
            _start = 0;
            _end = await stream.ReadAsync(_buffer, stop);
            return _end > 0;
        }
    }
}
