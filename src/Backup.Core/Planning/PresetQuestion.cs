using Backup.Policies;
using Backup.Quiescing;

namespace Backup.Planning;

/// <summary>Whether a preset's script would work in a container: a command that changes nothing and whose exit code is the answer.</summary>
public sealed record PresetQuestion(string ContainerId, string Container, IReadOnlyList<string> Command)
{
    /// <summary>Two that ask the same of the same container are one.</summary>
    public string Key => ContainerId + '\0' + string.Join('\0', Command);
}

/// <summary>
/// What containers answered, as far as they were asked. A plan made without the answers assumes the best and lists its questions, so that they can be
/// asked and the plan be made again.
/// </summary>
/// <param name="answers">By <see cref="PresetQuestion.Key"/>: why it would not work; null = it would.</param>
internal sealed class PresetAnswers(IReadOnlyDictionary<string, string?> answers)
{
    private readonly Dictionary<string, PresetQuestion> _open = [];

    internal IReadOnlyList<PresetQuestion> Open => [.. _open.Values];

    /// <summary>Null when it would work, or nobody asked yet.</summary>
    internal string? WhyNot(Environments.ContainerFacts container, PresetScript? check, PresetOptions options)
    {
        if (check is null) return null;
        if (container.State != "running") return $"{container.Name} is {container.State}";
        var question = new PresetQuestion(container.Id, container.Name, check.Command(options));
        if (answers.TryGetValue(question.Key, out string? problem)) return problem;
        _open.TryAdd(question.Key, question);
        return null;
    }
}
