using Backup.Environments;
using Backup.Planning;

namespace Backup.Policies;

/// <summary>What applies to one source of an environment.</summary>
public static class VolumePolicies
{
    /// <summary>The first matching rule that says something wins, field by field; else the environment's own value.</summary>
    public static VolumePolicy For(this EnvironmentPolicy environment, SourceRef source)
    {
        List<RulePolicy> rules = [.. environment.Rules.Where(r => Glob.Matches(r.Volume, source))];
        VolumePolicy general = environment.Default;
        return general with
        {
            Store = rules.Select(r => r.Store).FirstOrDefault(v => v is not null) ?? general.Store,
            Quiesce = rules.Select(r => r.Quiesce).FirstOrDefault(v => v is not null) ?? general.Quiesce,
            CompressionLevel = rules.Select(r => r.CompressionLevel).FirstOrDefault(v => v is not null) ?? general.CompressionLevel,
            Retention = rules.Select(r => r.Retention).FirstOrDefault(v => v is not null) ?? general.Retention,
            // The first match that says something wins: it is laid over the later ones.
            Downtime = rules.AsEnumerable().Reverse().Aggregate(general.Downtime, (so, rule) => rule.Downtime.Over(so)),
        };
    }

    /// <summary>Every store that some volume of the environment, or of those it stands for, may go to, each once.</summary>
    public static IReadOnlyList<string> StoresUsed(this EnvironmentPolicy environment) =>
        [.. environment.Overrides.Values.Prepend(environment).SelectMany(e => e.Rules.Select(r => r.Store).OfType<string>().Prepend(e.Default.Store)).Distinct()];
}
