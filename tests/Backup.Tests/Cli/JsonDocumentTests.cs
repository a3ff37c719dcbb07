using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Backup.Cli.Output;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

/// <summary>JSON.md names every field that scripts get, and no other.</summary>
public sealed partial class JsonDocumentTests
{
    private static readonly string Text = File.ReadAllText(Path.Combine(EngineFixture.Repository, "src/Backup.Cli/JSON.md"));

    private static readonly string[] Fields =
    [
        .. typeof(JsonContext).Assembly.GetTypes().Where(t => t.Namespace == typeof(JsonContext).Namespace && t.Name.EndsWith("Json", StringComparison.Ordinal))
            .SelectMany(t => JsonContext.Readable.GetTypeInfo(t) is JsonTypeInfo info ? info.Properties : throw new InvalidOperationException($"{t.Name} is never printed"))
            .Select(p => p.Name).Distinct().Order(StringComparer.Ordinal),
    ];

    [Fact]
    public void Every_field_is_named()
    {
        Fields.Length.ShouldBeGreaterThan(80);
        Fields.Where(f => !Text.Contains($"`{f}`", StringComparison.Ordinal)).ShouldBeEmpty();
    }

    [Fact]
    public void Nothing_else_is_called_a_field()
    {
        // Commands and events stand in the first column, values without a code's marks.
        string[] named = [.. Text.Split('\n').Select(line => line.StartsWith('|') ? line[(line.IndexOf('|', 1) + 1)..] : line).SelectMany(line => Word().Matches(line)).Select(m => m.Groups[1].Value).Distinct()];
        named.Except(Fields).Except(["null", "report", "resumed"]).ShouldBeEmpty();
    }

    [GeneratedRegex("`([a-z][A-Za-z0-9]*)`")]
    private static partial Regex Word();
}
