using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>A plan whose presets were asked whether they would work, before anybody is held.</summary>
internal static class ProbedPlan
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <exception cref="BackupException">As <see cref="Planner.Plan"/>; or the engine cannot be reached.</exception>
    internal static async Task<BackupPlan> MakeAsync(
        EnvironmentPolicy policy, IEnvironment environment, Inventory inventory, IReadOnlyList<Snapshot> known, IReadOnlyList<string> volumeGlobs, CancellationToken cancel)
    {
        var answers = new Dictionary<string, string?>();
        while (true)
        {
            // An answer may lead to another question: where one preset cannot run, another may be asked for.
            BackupPlan plan = Planner.Plan(policy, inventory, known, volumeGlobs, answers);
            if (plan.Questions.Count == 0) return plan;
            await AskAsync(environment, plan.Questions, answers, cancel);
        }
    }

    /// <summary>Of one group, when it is reached.</summary>
    /// <param name="warnings">Gets what is new to know.</param>
    internal static async Task<GroupAgain> AgainAsync(
        IEnvironment environment, GroupStep planned, Inventory inventory, List<PlanWarning> warnings, CancellationToken cancel)
    {
        var answers = new Dictionary<string, string?>();
        while (true)
        {
            warnings.Clear();
            GroupAgain again = Planner.Again(planned, inventory, answers, warnings);
            if (again.Questions.Count == 0) return again;
            await AskAsync(environment, again.Questions, answers, cancel);
        }
    }

    private static async Task AskAsync(IEnvironment environment, IReadOnlyList<PresetQuestion> questions, Dictionary<string, string?> answers, CancellationToken cancel)
    {
        foreach (PresetQuestion question in questions) answers[question.Key] = await WhyNotAsync(environment, question, cancel);
    }

    private static async Task<string?> WhyNotAsync(IEnvironment environment, PresetQuestion question, CancellationToken cancel)
    {
        try
        {
            ExecResult result = await environment.ExecAsync(question.ContainerId, question.Command, Patience, cancel);
            if (result.ExitCode == 0) return null;
            string said = (result.Error.Trim() is { Length: > 0 } error ? error : result.Output.Trim()).ReplaceLineEndings("; ");
            return said.Length > 0 ? said : $"{ExecText.Name(question.Command)} ended with exit code {result.ExitCode}";
        }
        catch (EnvironmentException e) when (!e.Unreachable)
        {
            return e.Problem;
        }
    }
}
