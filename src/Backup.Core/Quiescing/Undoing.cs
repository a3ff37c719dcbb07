using Backup.Environments;

namespace Backup.Quiescing;

/// <param name="Text">What was done, in the user's words.</param>
/// <param name="Disturbed">Somebody else had brought the container back before: it was not held all the time.</param>
internal sealed record Undone(string Text, bool Disturbed = false);

/// <summary>
/// Undoes one journal entry, idempotently: what is already as it should be counts as undone, and what a person changed meanwhile is left alone.
/// </summary>
internal static class Undoing
{
    /// <summary>How much longer than its own patience a stop or pause of a killed run may still be under way in the engine.</summary>
    internal static readonly TimeSpan Margin = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);
    private const int EngineStopTimeout = 10;

    private static readonly TimeSpan[] Pauses = [TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3)];

    /// <summary>Tries three times; throws what the last try threw.</summary>
    internal static async Task<Undone> UndoAsync(UndoEntry entry, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await TryAsync(entry, environment, context, cancel);
            }
            catch (EnvironmentException) when (attempt < Pauses.Length && entry.Kind != UndoKind.Exec)
            {
                await Task.Delay(Pauses[attempt], context.Time, cancel);
            }
        }
    }

    /// <summary>The command a person types when we could not.</summary>
    internal static string ByHand(UndoEntry entry) => entry.Kind switch
    {
        UndoKind.Unpause => $"docker unpause {entry.Container!.Name}",
        UndoKind.Start => $"docker start {entry.Container!.Name}",
        UndoKind.Scale => $"docker service scale {entry.Name}={entry.Service!.Replicas}",
        UndoKind.Exec when ExecText.IsScript(entry.Command!) => $"backup recover, or docker restart {entry.Container!.Name}",
        UndoKind.Exec => $"docker exec {entry.Container!.Name} {string.Join(' ', entry.Command!.Select(Quote))}",
        _ => $"docker rm $(docker ps -aq --filter label={ContainerFacts.HelperLabel}={entry.Run})",
    };

    private static async Task<Undone> TryAsync(UndoEntry entry, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        if (entry.Kind == UndoKind.RemoveHelpers)
        {
            int removed = await environment.RemoveHelpersAsync(entry.Run, cancel);
            return new Undone(removed == 0 ? "no helper containers were left" : $"removed {removed} helper container{(removed == 1 ? "" : "s")}");
        }

        if (entry.Kind == UndoKind.Scale) return await ScaledService.UndoAsync(entry, entry.Service!, environment, context, cancel);
        HeldContainer held = entry.Container!;
        ContainerFacts? now = await SettledAsync(entry, held, environment, context, cancel);
        if (now is null) return await UndoRecreatedAsync(entry, held, environment, cancel);

        bool restarted = now.StartedAt != held.StartedAt;
        switch (entry.Kind)
        {
            case UndoKind.Unpause when now.State != "paused":
                return new Undone($"{held.Name} is not paused", Disturbed: true);
            case UndoKind.Unpause when restarted:
                return new Undone($"{held.Name} was restarted and paused by somebody else: left alone", Disturbed: true);
            case UndoKind.Unpause:
                await environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, now.Id), cancel);
                return new Undone($"unpaused {held.Name}");
            case UndoKind.Start when now.Running || now.State == "paused":
                return new Undone($"{held.Name} is running", Disturbed: true);
            case UndoKind.Start when restarted:
                return new Undone($"{held.Name} was started and stopped again by somebody else: left alone", Disturbed: true);
            case UndoKind.Start:
                await environment.ActAsync(new ContainerAction(ContainerVerb.Start, now.Id), cancel);
                return new Undone($"started {held.Name}");
            default:
                return await RunAfterHookAsync(entry, now, environment, context, cancel);
        }
    }

    /// <summary>
    /// The container as it is once the step itself is over. The journal is written before the step, and an engine ends a step whose caller died:
    /// a container that runs as if nothing had happened may go down a moment later.
    /// </summary>
    private static async Task<ContainerFacts?> SettledAsync(
        UndoEntry entry, HeldContainer held, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        while (true)
        {
            ContainerFacts? now = await environment.FindContainerAsync(held.Id, cancel);
            if (entry.Kind == UndoKind.Exec || now is not { State: "running" } || now.StartedAt != held.StartedAt) return now;
            TimeSpan patience = entry.Kind == UndoKind.Start ? TimeSpan.FromSeconds(Math.Max(0, now.StopTimeoutSeconds ?? EngineStopTimeout)) : TimeSpan.Zero;
            TimeSpan age = context.Now - entry.At;
            if (age < TimeSpan.Zero || age > patience + Margin) return now;
            await Task.Delay(Poll, context.Time, cancel);
        }
    }

    /// <summary>Compose recreates containers under new ids. The new one never saw our hook; it only has to run.</summary>
    private static async Task<Undone> UndoRecreatedAsync(UndoEntry entry, HeldContainer held, IEnvironment environment, CancellationToken cancel)
    {
        Inventory inventory = await environment.InspectAsync(cancel);
        ContainerFacts? successor = inventory.Containers.FirstOrDefault(c => held.ComposeService is not null
                && c.ComposeProject == held.ComposeProject && c.ComposeService == held.ComposeService && c.ComposeNumber == held.ComposeNumber)
            ?? inventory.Containers.FirstOrDefault(c => c.Name == held.Name);
        if (successor is null) return new Undone($"{held.Name} no longer exists: nothing to bring back");
        if (entry.Kind == UndoKind.Exec || successor.State != "created")
            return new Undone($"{held.Name} was recreated as {successor.Name}, which is {successor.State}", Disturbed: successor.State != "created");
        await environment.ActAsync(new ContainerAction(ContainerVerb.Start, successor.Id), cancel);
        return new Undone($"started {successor.Name}, the recreated {held.Name}");
    }

    private static async Task<Undone> RunAfterHookAsync(
        UndoEntry entry, ContainerFacts now, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        if (now.State != "running") return new Undone($"{now.Name} is {now.State}: its after hook was not run");
        TimeSpan timeout = TimeSpan.FromSeconds(entry.TimeoutSeconds ?? 30);
        bool ended = await BeforeEndedAsync(entry, timeout, environment, context, cancel);
        ExecResult result = await environment.ExecAsync(now.Id, entry.Command!, timeout, cancel);
        if (result.ExitCode != 0) throw HookFailed(environment.Name, now.Name, "after", entry.Command!, result);
        return new Undone($"ran the after hook in {now.Name}{(ended ? "" : $", although its before hook still runs: docker top {now.Name}")}");
    }

    /// <summary>
    /// Of a run that was killed the before hook may still be under way, and would do its work after the after hook. It is waited for as long as it was
    /// allowed to take.
    /// </summary>
    private static async Task<bool> BeforeEndedAsync(
        UndoEntry entry, TimeSpan timeout, IEnvironment environment, RunContext context, CancellationToken cancel)
    {
        if (entry.BeforeExec is not { } exec) return true;
        while (await environment.ExecRunsAsync(exec, cancel))
        {
            TimeSpan age = context.Now - entry.At;
            if (age < TimeSpan.Zero || age > timeout + Margin) return false;
            await Task.Delay(Poll, context.Time, cancel);
        }
        return true;
    }

    internal static EnvironmentException HookFailed(string environment, string container, string which, IReadOnlyList<string> command, ExecResult result)
    {
        string said = ExecText.Reason(result.Error, result.Output);
        if (ExecText.IsScript(command))
            return new EnvironmentException(environment, $"{ExecText.Name(command)} in {container} ended with exit code {result.ExitCode}{said}",
                $"Look at the container's log: docker logs {container}");
        return new EnvironmentException(environment, $"The {which} hook of {container} ended with exit code {result.ExitCode}{said}",
            $"Run it by hand: docker exec {container} {string.Join(' ', command.Select(Quote))}");
    }

    private static string Quote(string word) =>
        word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/' or ':' or '=' or ',')
            ? word
            : $"'{word.Replace("'", @"'\''")}'";
}
