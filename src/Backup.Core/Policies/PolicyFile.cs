using System.Text.Json;

namespace Backup.Policies;

/// <summary>Reads the policy file: JSON with comments and trailing commas, everything checked, all problems reported at once.</summary>
public static class PolicyFile
{
    private static readonly JsonDocumentOptions Options = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    /// <exception cref="PolicyException">The content is wrong.</exception>
    /// <exception cref="BackupException">Usage: the file is not there or cannot be read.</exception>
    public static Policy Load(string path)
    {
        string full = Path.GetFullPath(path);
        try
        {
            return Parse(File.ReadAllText(full), full);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BackupException($"there is no policy file {full}",
                "`backup init` writes one for what runs here; or name yours with --policy or BACKUP_POLICY.", FailureKind.Usage, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string problem = Directory.Exists(full) ? "it is a directory" : e.Message;
            throw new BackupException($"the policy file {full} cannot be read: {problem}", "Check its path and its owner and mode.", FailureKind.Usage, e);
        }
    }

    /// <param name="path">Where the text comes from: for messages, and its folder is the base of relative paths.</param>
    /// <exception cref="PolicyException">The content is wrong.</exception>
    public static Policy Parse(string text, string path)
    {
        string full = Path.GetFullPath(path);
        var problems = new List<PolicyProblem>();
        Policy? policy = null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, Options);
            if (TextIsWhole(document.RootElement)) policy = new PolicyReader(full).Read(new PolicyNode(document.RootElement, "$", problems));
            else problems.Add(new PolicyProblem("", "a text or key holds half a character (\\ud800 to \\udfff alone)", "Write the character itself instead of its \\u escapes."));
        }
        catch (JsonException e)
        {
            problems.Add(Malformed(e));
        }
        return policy is not null && problems.Count == 0 ? policy : throw new PolicyException(full, problems);
    }

    /// <summary>The JSON reader accepts a lone surrogate escape and fails only when the text is taken out.</summary>
    private static bool TextIsWhole(JsonElement element)
    {
        try
        {
            return element.ValueKind switch
            {
                JsonValueKind.String => element.GetString() is not null,
                JsonValueKind.Array => element.EnumerateArray().All(TextIsWhole),
                JsonValueKind.Object => element.EnumerateObject().All(p => p.Name is not null && TextIsWhole(p.Value)),
                _ => true,
            };
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private static PolicyProblem Malformed(JsonException e)
    {
        int tail = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        string what = (tail < 0 ? e.Message : e.Message[..tail]).TrimEnd('.');
        string where = $"line {e.LineNumber.GetValueOrDefault() + 1}, column {e.BytePositionInLine.GetValueOrDefault() + 1}";
        return new PolicyProblem("", $"{where}: not valid JSON: {what}", "Comments and trailing commas are fine; look for a missing comma, quote or brace just before.");
    }
}
