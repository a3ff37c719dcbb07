using System.Text.Json;
using System.Text.RegularExpressions;

namespace Backup.Policies;

/// <summary>One value of the policy with its place. What is wrong with it is noted, and the reading goes on.</summary>
internal sealed partial class PolicyNode(JsonElement element, string path, List<PolicyProblem> problems)
{
    public JsonElement Element { get; } = element;
    public string Path { get; } = path;
    public bool IsNull => Element.ValueKind == JsonValueKind.Null;
    public bool IsText => Element.ValueKind == JsonValueKind.String;
    public bool IsObject => Element.ValueKind == JsonValueKind.Object;

    [GeneratedRegex("^[A-Za-z_$][A-Za-z0-9_$-]*$", RegexOptions.CultureInvariant)]
    private static partial Regex PlainKey();

    public void Problem(string problem, string hint) => problems.Add(new PolicyProblem(Path, problem, hint));

    /// <summary>Null, and a problem noted, when it is not a text or is empty.</summary>
    public string? Text(string example)
    {
        if (!IsText) return Wrong<string>("a text", example);
        string text = Element.GetString()!;
        if (text.Trim().Length > 0) return text;
        Problem("is empty", $"Write for example {example}.");
        return null;
    }

    public int? Whole(int minimum, int maximum)
    {
        string range = maximum == int.MaxValue ? $"{minimum} or more" : $"{minimum} to {maximum}";
        if (Element.ValueKind != JsonValueKind.Number)
        {
            Wrong<object>("a whole number", range);
            return null;
        }
        if (Element.TryGetInt32(out int number) && number >= minimum && number <= maximum) return number;
        Problem($"{Element.GetRawText()} is out of range", $"A whole number, {range}.");
        return null;
    }

    public bool? YesOrNo()
    {
        if (Element.ValueKind is JsonValueKind.True or JsonValueKind.False) return Element.GetBoolean();
        Wrong<object>("true or false", "true");
        return null;
    }

    /// <summary>Bytes, as a number or a text such as "16MiB".</summary>
    /// <param name="what">Ends the sentence "… is no".</param>
    public long? Bytes(long minimum, long maximum, string what, string hint)
    {
        long? size = Element.ValueKind == JsonValueKind.Number
            ? Element.TryGetInt64(out long number) ? number : -1
            : Text("\"16MiB\"") is { } text ? Quantities.Size(text) ?? -1 : null;
        if (size is null || size >= minimum && size <= maximum) return size;
        Problem($"{Element.GetRawText()} is no {what}", hint);
        return null;
    }

    public IReadOnlyList<PolicyNode>? Items(string example)
    {
        if (Element.ValueKind != JsonValueKind.Array) return Wrong<IReadOnlyList<PolicyNode>>("a list", example);
        return [.. Element.EnumerateArray().Select((e, i) => new PolicyNode(e, $"{Path}[{i}]", problems))];
    }

    public IReadOnlyList<string>? Texts(string example) => Items($"[{example}]") is { } items ? [.. items.Select(i => i.Text(example)).OfType<string>()] : null;

    public T? Choice<T>(IReadOnlyDictionary<string, T> choice) where T : struct
    {
        if (Text($"\"{choice.Keys.First()}\"") is not { } text) return null;
        if (choice.TryGetValue(text, out T value)) return value;
        Problem($"\"{text}\" is none of {string.Join(", ", choice.Keys)}", Nearest.Hint(text, choice.Keys));
        return null;
    }

    /// <summary>A reference to a secret. A literal is a problem, and is not repeated in the message.</summary>
    public Secret? Secret(Func<string, string> resolve)
    {
        if (!IsText) return Wrong<Secret>("a reference to a secret", $"use {SecretReader.Kinds}");
        string text = Element.GetString()!;
        int colon = text.IndexOf(':');
        string kind = colon < 0 ? "" : text[..colon], rest = text[(colon + 1)..];
        if (kind is not ("env" or "file" or "cred"))
        {
            Problem("a literal stands where a reference to a secret belongs", $"secrets are never written in the policy: use {SecretReader.Kinds}");
            return null;
        }
        if (rest.Trim().Length == 0)
        {
            Problem($"\"{text}\" names nothing", $"use {SecretReader.Kinds}");
            return null;
        }
        return new Secret(kind == "file" ? $"file:{resolve(rest)}" : text, Path);
    }

    /// <summary>An object that may have these keys only.</summary>
    public PolicyObject? Object(string what, IReadOnlyList<string> keys)
    {
        if (Members(what) is not { } members) return null;
        foreach (string unknown in members.Keys.Where(k => !keys.Contains(k)))
            members[unknown].Problem($"{what} has no key \"{unknown}\"", Nearest.Hint(unknown, keys.Where(k => !members.ContainsKey(k))));
        return new PolicyObject(this, members);
    }

    /// <summary>An object whose keys are names that the user gives.</summary>
    public IReadOnlyDictionary<string, PolicyNode>? Members(string what)
    {
        if (!IsObject) return Wrong<Dictionary<string, PolicyNode>>("an object", $"{what} is written in braces: {{ … }}");
        var members = new Dictionary<string, PolicyNode>();
        foreach (JsonProperty property in Element.EnumerateObject())
        {
            var node = new PolicyNode(property.Value, Path + (PlainKey().IsMatch(property.Name) ? "." + property.Name : $"['{property.Name}']"), problems);
            if (!members.TryAdd(property.Name, node)) node.Problem($"\"{property.Name}\" stands here twice", "Remove one of the two.");
        }
        return members;
    }

    private T? Wrong<T>(string wanted, string example) where T : class
    {
        string found = Element.ValueKind switch
        {
            JsonValueKind.String => "a text",
            JsonValueKind.Number => "a number",
            JsonValueKind.True or JsonValueKind.False => "true or false",
            JsonValueKind.Array => "a list",
            JsonValueKind.Object => "an object",
            _ => "null",
        };
        Problem($"is {found}, but {wanted} belongs here", $"For example: {example}.");
        return null;
    }
}

/// <summary>The members of one object. A key whose value is null counts as absent.</summary>
internal sealed class PolicyObject(PolicyNode node, IReadOnlyDictionary<string, PolicyNode> members)
{
    public PolicyNode Node { get; } = node;

    public PolicyNode? this[string key] => members.GetValueOrDefault(key) is { IsNull: false } found ? found : null;

    /// <summary>Also when its value is null.</summary>
    public PolicyNode? Written(string key) => members.GetValueOrDefault(key);

    /// <summary>Notes a problem when the key is absent.</summary>
    public PolicyNode? Required(string key, string example)
    {
        if (this[key] is { } found) return found;
        Node.Problem($"\"{key}\" is missing", $"For example: \"{key}\": {example}.");
        return null;
    }
}
