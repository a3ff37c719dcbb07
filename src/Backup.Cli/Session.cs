using System.Security.Cryptography;
using Backup.Cli.Output;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Streams;

namespace Backup.Cli;

/// <summary>What the commands need, made when it is first asked for: the policy, the backends, the lock.</summary>
internal sealed class Session(Surroundings surroundings, Wiring wiring, IOutput output, string? policyOption) : IAsyncDisposable
{
    private Policy? policy;
    private Backends? backends;

    public Surroundings Surroundings => surroundings;
    public Wiring Wiring => wiring;
    public IOutput Output => output;
    public RunContext Context { get; } = new(surroundings.Time, RandomNumberGenerator.Fill, output);
    public string StateDirectory { get; } = Locations.State(surroundings);

    public Policy Policy => policy ??= PolicyFile.Load(Locations.Policy(policyOption, surroundings));

    public Backends Backends => backends ??= wiring.Backends(Context, Policy, StateDirectory);

    /// <summary>Takes the lock that one run of a host holds at a time.</summary>
    /// <exception cref="BackupException">Locked: another run holds it.</exception>
    public Task<UndoJournal> OpenJournalAsync(TimeSpan wait, CancellationToken cancel)
    {
        _ = Policy; // a mistake in the policy is reported before anything is waited for
        return UndoJournal.OpenAsync(StateDirectory, Context, wait, cancel);
    }

    /// <summary>Nothing is opened before it is needed.</summary>
    public Spool OpenSpool() => new(Policy.Spool.Path ?? StateDirectory, Policy.Spool.MaxBytes, Context);

    public async ValueTask DisposeAsync()
    {
        if (backends is not null) await backends.DisposeAsync();
    }
}
