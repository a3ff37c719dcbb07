using System.Globalization;
using System.Runtime.InteropServices;

namespace Backup.Cli;

/// <summary>
/// SIGINT, SIGTERM and SIGHUP cancel a token and nothing else, however often they come: the process ends by itself once the containers
/// are back. The library's own handling is off because it kills the process after a fixed time, in the middle of an undo.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource announced = new(), source = new();
    private readonly List<PosixSignalRegistration> registrations = [];
    private volatile int signal;

    public CancellationToken Token => source.Token;

    /// <summary>Cancelled before <see cref="Token"/> is: what is to be said about the end is said before anything ends.</summary>
    public CancellationToken Announced => announced.Token;

    /// <summary>128 plus the number of the first signal; null when none came.</summary>
    public int? ExitCode => signal == 0 ? null : 128 + signal;

    /// <summary>Starts to listen. A hang-up stays ignored where the caller ignores it (nohup).</summary>
    public void Listen()
    {
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Stop(context, 2)));
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Stop(context, 15)));
        if (!HangUpIsIgnored()) registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Stop(context, 1)));
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in registrations) registration.Dispose();
        source.Dispose();
        announced.Dispose();
    }

    internal void Stop(int number)
    {
        if (Interlocked.CompareExchange(ref signal, number, 0) != 0) return;
        announced.Cancel();
        source.Cancel();
    }

    private void Stop(PosixSignalContext context, int number)
    {
        context.Cancel = true;
        Stop(number);
    }

    private static bool HangUpIsIgnored()
    {
        try
        {
            const string field = "SigIgn:";
            string? line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith(field, StringComparison.Ordinal));
            return line is not null
                && ulong.TryParse(line.AsSpan(field.Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong ignored)
                && (ignored & 1) != 0;
        }
        catch (IOException)
        {
            return false; // no /proc here: then nobody can tell, and a hang-up is better handled than not
        }
    }
}
