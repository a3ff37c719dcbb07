using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;

namespace Backup.Running;

/// <summary>What a running database holds of a user's, in the user's words.</summary>
internal static class DatabaseContents
{
    internal const string Empty = "empty";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary><see cref="Empty"/>, or counts such as <c>3 tables and views in database shop</c>, several with commas between.</summary>
    /// <exception cref="EnvironmentException">It does not say.</exception>
    internal static async Task<string> ReadAsync(
        IEnvironment environment, ContainerFacts container, PresetScript contents, PresetOptions options, CancellationToken cancel)
    {
        ExecResult result = await environment.ExecAsync(container.Id, contents.Command(options), Patience, cancel);
        // Each server lists its databases in an order of its own.
        return result.ExitCode == 0 ? string.Join(", ", result.Output.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal))
            : throw new EnvironmentException(environment.Name, $"what {container.Name} holds cannot be told{ExecText.Reason(result.Error, result.Output)}", "Look at the container's log.");
    }
}
