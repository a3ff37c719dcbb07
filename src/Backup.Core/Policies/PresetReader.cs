using Backup.Quiescing;

namespace Backup.Policies;

/// <summary>Reads <c>{ "preset": … }</c>.</summary>
internal static class PresetReader
{
    internal static PresetPolicy? Read(PolicyNode node)
    {
        if (node.Object("a preset", PolicyKeys.Preset) is not { } section) return null;
        string[] names = [.. QuiescePresets.All.Select(p => p.Name)];
        if (section.Required("preset", "\"postgres\"")?.Text("\"postgres\"") is not { } name) return null;
        if (QuiescePresets.Named(name) is not { } preset)
        {
            section["preset"]!.Problem($"\"{name}\" is none of {string.Join(", ", names)}", Nearest.Hint(name, names));
            return null;
        }

        foreach (string key in PolicyKeys.PresetOptions.Where(k => !preset.Takes.Contains(k)))
            if (section[key] is { } idle)
                idle.Problem($"the preset {name} has no use for \"{key}\"", preset.Takes.Count == 0 ? "Remove it." : $"It takes {string.Join(", ", preset.Takes)}.");

        PresetMethod method = section["method"]?.Choice(PolicyKeys.PresetMethods) ?? PresetMethod.Volume;
        var options = new PresetOptions(
            SettingsReader.Timeout(section["timeout"]) ?? PresetOptions.DefaultPatience,
            section["user"]?.Text("\"backup\""),
            section["passwordFile"]?.Text("\"/run/secrets/db_password\""),
            section["databases"]?.Texts("\"shop\"") ?? [],
            section["files"]?.Texts("\"/data/app.db\"") ?? [],
            section["format"]?.Choice(PolicyKeys.DumpFormats) ?? DumpFormat.Plain);

        if (method != PresetMethod.Volume && preset.Dump is null)
            section["method"]!.Problem($"the preset {name} has no dump", "Use \"volume\".");
        if (options.Format == DumpFormat.Custom && options.Databases.Count != 1)
            section["format"]!.Problem("the custom format is of one database", "Name it: \"databases\": [\"shop\"].");
        if (options.Format == DumpFormat.Custom && method == PresetMethod.Volume)
            section["format"]!.Problem("\"format\" is of dumps, and there is none", "Add \"method\": \"dump\" or \"both\", or remove it.");
        if (preset.Takes.Contains("files"))
        {
            if (options.Files.Count == 0) node.Problem($"the preset {name} needs \"files\"", "The files inside the container: \"files\": [\"/data/app.db\"].");
            else if (method != PresetMethod.Volume && options.Files.Count > 1) section["files"]!.Problem("a dump is of one file", "Use \"method\": \"volume\", which takes them all.");
            foreach (PolicyNode file in section["files"]?.Items("[\"/data/app.db\"]") ?? [])
                if (file.IsText && !file.Element.GetString()!.StartsWith('/')) file.Problem("is no absolute path", "A path inside the container, such as \"/data/app.db\".");
        }
        return new PresetPolicy(name, method, options);
    }
}
