namespace Backup.Policies;

/// <summary>One store: a directory or an S3 bucket.</summary>
internal sealed class StoreReader(Func<string, string> resolve)
{
    internal const long SmallestPart = 5L << 20, LargestPart = 5L << 30;

    internal StorePolicy? Read(string name, PolicyNode node)
    {
        string? type = node.IsObject && node.Element.TryGetProperty("type", out var t) && t.ValueKind == System.Text.Json.JsonValueKind.String ? t.GetString() : null;
        if (node.IsObject && node.Element.TryGetProperty("format", out var f) && f.ValueKind == System.Text.Json.JsonValueKind.String && f.GetString() == "repository")
        {
            // Its other keys (such as "password") belong to the repository format and are not judged.
            node.Problem("format \"repository\" is not supported by this version", "Leave \"format\" out: the store then holds archives, which stock zstd and tar restore.");
            return null;
        }
        switch (type)
        {
            case "directory": return Directory(name, node);
            case "s3": return S3(name, node);
            case null when !node.IsObject:
                _ = node.Object("a store", []);
                return null;
            case null:
                node.Problem("\"type\" is missing", "\"type\": \"directory\" or \"type\": \"s3\".");
                return null;
            default:
                node.Problem($"there is no store type \"{type}\"", Nearest.Hint(type, ["directory", "s3"]));
                return null;
        }
    }

    private DirectoryStorePolicy? Directory(string name, PolicyNode node)
    {
        PolicyObject section = node.Object("a directory store", PolicyKeys.DirectoryStore)!;
        Format(section);
        return section.Required("path", "\"/var/backups/docker\"")?.Text("\"/var/backups/docker\"") is { } path
            ? new DirectoryStorePolicy(name, System.IO.Path.TrimEndingDirectorySeparator(resolve(path))) : null;
    }

    private S3StorePolicy? S3(string name, PolicyNode node)
    {
        PolicyObject section = node.Object("an s3 store", PolicyKeys.S3Store)!;
        Format(section);
        S3Provider? provider = section["provider"] is { } p ? p.Choice(PolicyKeys.Providers) : S3Provider.Generic;
        string? region = section["region"]?.Text("\"cn-hangzhou\"");
        string? bucket = section.Required("bucket", "\"my-backups\"") is { } b ? Bucket(b) : null;
        Uri? endpoint = section["endpoint"] is { } e ? Endpoint(e) : null;
        S3Addressing? addressing = section["addressing"]?.Choice(PolicyKeys.Addressings);
        Secret? id = section.Required("accessKeyId", "\"env:ACCESS_KEY_ID\"")?.Secret(resolve);
        Secret? key = section.Required("secretAccessKey", "\"file:/etc/backup/store.secret\"")?.Secret(resolve);
        long? part = section["partSize"]?.Bytes(SmallestPart, LargestPart, "part size", "Between \"5MiB\" and \"5GiB\", such as \"16MiB\".");

        string word = section["provider"]?.Element.ToString() ?? "generic";
        if (provider is S3Provider.Generic or S3Provider.Minio or S3Provider.Ceph or S3Provider.R2 && section["endpoint"] is null)
            node.Problem($"\"endpoint\" is missing: provider {word} has no address of its own", "For example: \"endpoint\": \"https://s3.example.com\".");
        if (provider is S3Provider.Aws or S3Provider.AliyunOss or S3Provider.TencentCos or S3Provider.B2 && section["region"] is null)
            node.Problem($"\"region\" is missing: provider {word} needs it", "For example: \"region\": \"cn-hangzhou\".");
        if (addressing == S3Addressing.CustomDomain && section["endpoint"] is null)
            section["addressing"]!.Problem("\"custom-domain\" needs the domain as \"endpoint\"", "For example: \"endpoint\": \"https://backup.example.com\".");

        string prefix = (section["prefix"] is { } x && Prefix(x) is { } written ? written : "").Trim('/');
        string? storageClass = section["storageClass"]?.Text("\"STANDARD_IA\"");
        string? ca = section["caFile"]?.Text("\"ca.pem\"") is { } file ? resolve(file) : null;
        return provider is null || bucket is null || id is null || key is null ? null
            : new S3StorePolicy(name, provider.Value, region, bucket, prefix, endpoint, addressing, id, key, part, storageClass, ca);
    }

    private static void Format(PolicyObject section)
    {
        if (section["format"] is { } node && node.Text("\"archive\"") is { } format && format != "archive")
            node.Problem($"\"{format}\" is no format", Nearest.Hint(format, ["archive", "repository"]));
    }

    private static string? Bucket(PolicyNode node)
    {
        if (node.Text("\"my-backups\"") is not { } text) return null;
        if (!text.Contains('/') && !text.Any(char.IsWhiteSpace) && !text.Contains(':')) return text;
        node.Problem($"\"{text}\" is no bucket name", "The name alone; folders in it are the \"prefix\", the server is the \"endpoint\".");
        return null;
    }

    /// <summary>May be empty. The prefix becomes part of every object key, whose characters are restricted.</summary>
    private static string? Prefix(PolicyNode node)
    {
        if (!node.IsText) return node.Text("\"docker\"");
        string text = node.Element.GetString()!.Trim('/');
        bool good = text.Length == 0 || text.Length <= 200 && text.Split('/').All(s => s is not ("" or "." or "..") && s.All(c => char.IsAsciiLetterOrDigit(c) || "._~=@%+-".Contains(c)));
        if (good) return text;
        node.Problem($"\"{text}\" is no prefix", "Letters, digits and ._~=@%+- in parts separated by single slashes, such as \"docker/prod\".");
        return null;
    }

    private static Uri? Endpoint(PolicyNode node)
    {
        if (node.Text("\"https://s3.example.com\"") is not { } text) return null;
        if (Uri.TryCreate(text, UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https" && url.Host.Length > 0)
        {
            if (url.UserInfo.Length == 0 && url.Query.Length == 0 && url.AbsolutePath == "/") return url;
            node.Problem("an endpoint is only scheme, host and port", "The bucket is \"bucket\", folders are \"prefix\", keys are \"accessKeyId\" and \"secretAccessKey\".");
            return null;
        }
        node.Problem($"\"{text}\" is no endpoint", text.Contains("://", StringComparison.Ordinal) ? "Write https://host or https://host:port." : $"did you mean \"https://{text}\"?");
        return null;
    }
}
