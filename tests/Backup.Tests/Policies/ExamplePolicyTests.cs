using System.Runtime.CompilerServices;
using System.Text.Json;
using Backup.Policies;
using Shouldly;
using Xunit;

namespace Backup.Tests.Policies;

public sealed class ExamplePolicyTests
{
    internal static string Example => Path.Combine(Root(), "backup.example.json");
    private static string SchemaFile => Path.Combine(Root(), "backup.schema.json");

    private static string Root([CallerFilePath] string caller = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(caller)!, "../../.."));

    [Fact]
    public void The_example_loads()
    {
        Policy policy = PolicyFile.Load(Example);
        policy.Stores.Select(s => s.Name).ShouldBe(["disk", "oss", "minio"]);
        policy.Environments.Select(e => e.Name).ShouldBe(["local", "frontend", "backend", "agent", "shop", "everything", "shared-agent", "swarm", "lonely-agent", "lab"]);
        policy.Environments[^1].Schedule.ShouldBeNull();
    }

    [Fact]
    public void The_example_shows_every_key()
    {
        string text = File.ReadAllText(Example);
        // "format" has one value in this version, which is the default.
        foreach (string key in PolicyKeys.Tables.Values.SelectMany(k => k).Distinct().Where(k => k != "format")) text.ShouldContain($"\"{key}\":");
    }

    [Fact]
    public void The_schema_and_the_parser_know_the_same_keys()
    {
        using JsonDocument schema = JsonDocument.Parse(File.ReadAllText(SchemaFile));
        schema.RootElement.GetProperty("$schema").GetString().ShouldBe("https://json-schema.org/draft/2020-12/schema");
        JsonElement definitions = schema.RootElement.GetProperty("$defs");
        foreach (var (name, keys) in PolicyKeys.Tables)
        {
            JsonElement definition = name.Length == 0 ? schema.RootElement : definitions.GetProperty(name);
            definition.GetProperty("properties").EnumerateObject().Select(p => p.Name).Order().ShouldBe(keys.Order(), name);
            definition.GetProperty("additionalProperties").GetBoolean().ShouldBeFalse(name);
        }
        // No object of the schema escapes the comparison.
        definitions.EnumerateObject().Where(d => d.Value.TryGetProperty("properties", out _)).Select(d => d.Name).Order()
            .ShouldBe(PolicyKeys.Tables.Keys.Where(k => k.Length > 0).Order());
    }

    [Fact]
    public void The_schema_and_the_parser_know_the_same_words()
    {
        using JsonDocument schema = JsonDocument.Parse(File.ReadAllText(SchemaFile));
        IEnumerable<string?> Words(string definition, string property) => schema.RootElement.GetProperty("$defs").GetProperty(definition)
            .GetProperty("properties").GetProperty(property).GetProperty("enum").EnumerateArray().Select(e => e.GetString());
        Words("s3Store", "provider").ShouldBe(PolicyKeys.Providers.Keys);
        Words("s3Store", "addressing").ShouldBe(PolicyKeys.Addressings.Keys);
        Words("hooks", "then").ShouldBe(PolicyKeys.Modes.Keys);
        Words("environment", "grouping").ShouldBe(PolicyKeys.Groupings.Keys);
        Words("rule", "whenExceeded").ShouldBe(PolicyKeys.WhenExceeded.Keys);
    }

    [Fact]
    public void Every_reference_of_the_schema_leads_somewhere_and_every_key_is_described()
    {
        using JsonDocument schema = JsonDocument.Parse(File.ReadAllText(SchemaFile));
        JsonElement definitions = schema.RootElement.GetProperty("$defs");
        int references = 0;
        void Walk(JsonElement element)
        {
            if (element.ValueKind == JsonValueKind.Array) foreach (JsonElement item in element.EnumerateArray()) Walk(item);
            if (element.ValueKind != JsonValueKind.Object) return;
            foreach (JsonProperty p in element.EnumerateObject())
            {
                if (p is { Name: "$ref", Value.ValueKind: JsonValueKind.String })
                {
                    references++;
                    definitions.TryGetProperty(p.Value.GetString()!["#/$defs/".Length..], out _).ShouldBeTrue(p.Value.GetString());
                }
                if (p is { Name: "properties", Value.ValueKind: JsonValueKind.Object })
                    foreach (JsonProperty key in p.Value.EnumerateObject())
                        key.Value.TryGetProperty("description", out _).ShouldBeTrue(key.Name);
                Walk(p.Value);
            }
        }
        Walk(schema.RootElement);
        references.ShouldBeGreaterThan(10);
    }
}
