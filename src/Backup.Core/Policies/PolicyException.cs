namespace Backup.Policies;

/// <param name="JsonPath">Such as <c>$.environments.local.rules[0].quiesce</c>; empty when the file is no JSON at all.</param>
public sealed record PolicyProblem(string JsonPath, string Problem, string Hint);

/// <summary>The policy file is wrong: every problem that was found, each with its place and its cure.</summary>
public sealed class PolicyException(string path, IReadOnlyList<PolicyProblem> problems)
    : BackupException(Describe(path, problems), Cure(problems), FailureKind.Usage)
{
    public IReadOnlyList<PolicyProblem> Problems { get; } = problems;

    private static string Line(PolicyProblem p) => p.JsonPath.Length == 0 ? p.Problem : $"{p.JsonPath}: {p.Problem}";

    private static string Describe(string path, IReadOnlyList<PolicyProblem> problems) => problems.Count == 1
        ? $"the policy {path} is wrong: {Line(problems[0])}"
        : $"the policy {path} has {problems.Count} problems:" +
          string.Concat(problems.Select(p => $"\n  {Line(p)}\n    {p.Hint}"));

    private static string Cure(IReadOnlyList<PolicyProblem> problems) =>
        problems.Count == 1 ? problems[0].Hint : "Correct them all; nothing was done.";
}
