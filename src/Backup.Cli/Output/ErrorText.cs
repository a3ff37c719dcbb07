namespace Backup.Cli.Output;

/// <summary>A failure as people read it: the problem, and below it the cure.</summary>
internal static class ErrorText
{
    /// <param name="label">Such as <c>error:</c>.</param>
    /// <param name="problem">May have several lines (a policy tells all its problems at once).</param>
    public static void Write(TextWriter writer, string label, string problem, string hint, string indent = "")
    {
        string[] lines = problem.Split('\n');
        writer.WriteLine($"{indent}{label} {Text.Plain(lines[0])}".TrimEnd());
        foreach (string line in lines.Skip(1)) writer.WriteLine($"{indent}  {Text.Plain(line)}".TrimEnd());
        if (hint == "") return;
        string[] cure = hint.Split('\n');
        writer.WriteLine($"{indent}  hint: {Text.Plain(cure[0])}");
        foreach (string line in cure.Skip(1)) writer.WriteLine($"{indent}        {Text.Plain(line)}".TrimEnd());
    }
}
