namespace Backup;

/// <summary>Fills a buffer with random bytes; production uses <c>RandomNumberGenerator.Fill</c>.</summary>
public delegate void RandomFill(Span<byte> buffer);

/// <summary>The only ambient things: the clock, chance, and where events go. Everything else is passed explicitly.</summary>
/// <param name="Time">The clock. Core never reads the wall clock by itself.</param>
/// <param name="Random">The source of chance (ids, jitter).</param>
/// <param name="Events">Receives events synchronously, possibly from several threads at once.</param>
public sealed record RunContext(TimeProvider Time, RandomFill Random, IProgress<RunEvent> Events)
{
    /// <summary>A new random id: 32 lower-case hex digits.</summary>
    public string NewId()
    {
        Span<byte> bytes = stackalloc byte[16];
        Random(bytes);
        return Convert.ToHexStringLower(bytes);
    }

    /// <summary>A uniformly random fraction in [0, 1), for jitter.</summary>
    public double NextFraction()
    {
        Span<byte> bytes = stackalloc byte[4];
        Random(bytes);
        return BitConverter.ToUInt32(bytes) / (uint.MaxValue + 1.0);
    }

    public DateTimeOffset Now => Time.GetUtcNow();
}
