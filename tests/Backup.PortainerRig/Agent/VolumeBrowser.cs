using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Backup.PortainerRig.Agent;

/// <summary>Reading files of volumes past the engine, where the agent's container has the volumes mounted (agent 1.7).</summary>
internal sealed class VolumeBrowser(string? root)
{
    /// <param name="volume">Null = the <c>volumeID</c> of the query.</param>
    /// <param name="verb"><c>ls</c> or <c>get</c>; the agent's writing verbs are not in this rig.</param>
    internal async Task BrowseAsync(HttpContext context, string? volume, string verb)
    {
        volume ??= context.Request.Query["volumeID"].ToString();
        string? path = context.Request.Query["path"];
        if (string.IsNullOrEmpty(path))
        {
            await AgentAnswers.ErrorAsync(context, 400, "Invalid query parameter: path", "Missing query parameter");
            return;
        }
        if (path.Split('/', '\\').Contains(".."))
        {
            await AgentAnswers.ErrorAsync(context, 400, "Invalid volume", "Invalid path. Ensure that the path do not contain '..' elements");
            return;
        }
        // Without the mount the path is one of the agent's own file system, where there is no such thing.
        string file = Path.Join(root ?? "/var/lib/docker/volumes/none", volume, "_data", path);
        if (verb == "get") await GetAsync(context, file);
        else await ListAsync(context, file);
    }

    /// <summary>With ranges, a length and a time (agent 1.7).</summary>
    private static async Task GetAsync(HttpContext context, string file)
    {
        if (!File.Exists(file))
        {
            await AgentAnswers.ErrorAsync(context, 500, "Unable to open file", $"open {file}: no such file or directory");
            return;
        }
        var info = new FileInfo(file);
        await Results.File(info.FullName, "application/octet-stream", lastModified: info.LastWriteTimeUtc, enableRangeProcessing: true).ExecuteAsync(context);
    }

    private static Task ListAsync(HttpContext context, string folder)
    {
        if (!Directory.Exists(folder))
            return AgentAnswers.ErrorAsync(context, 500, "Unable to list files inside specified directory", $"open {folder}: no such file or directory");
        var list = new JsonArray();
        foreach (FileSystemInfo entry in new DirectoryInfo(folder).EnumerateFileSystemInfos().OrderBy(e => e.Name, StringComparer.Ordinal))
            list.Add(new JsonObject
            {
                ["Name"] = entry.Name,
                ["Size"] = entry is FileInfo { LinkTarget: null } f ? f.Length : 0,
                ["Dir"] = entry is DirectoryInfo { LinkTarget: null },
                ["ModTime"] = new DateTimeOffset(entry.LastWriteTimeUtc).ToUnixTimeSeconds(),
            });
        return AgentAnswers.JsonAsync(context, 200, list);
    }
}
