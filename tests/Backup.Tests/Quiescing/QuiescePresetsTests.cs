using System.Text;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Tests.Environments;
using Backup.Tests.Golden;
using Shouldly;
using Xunit;

namespace Backup.Tests.Quiescing;

public sealed class QuiescePresetsTests
{
    [Fact]
    public void The_table_is_as_documented()
    {
        var text = new StringBuilder();
        foreach (QuiescePreset preset in QuiescePresets.All)
        {
            text.Append($"{preset.Name}\n  images   {(preset.Images.Count == 0 ? "none: by name only" : string.Join(", ", preset.Images))}\n  volume   {preset.Holding}\n");
            foreach ((string when, DumpMethod? dump) in new[] { ("dump", preset.Dump), ("chosen", preset.DumpOfDatabases), ("custom", preset.DumpCustom) })
                if (dump is not null)
                    text.Append($"  {when,-8} {dump.Words}\n  {"",-8} {dump.FileName}, whole with exit code 0 and {dump.Mark.Words}\n  {"",-8} {(dump.Load is null ? dump.LoadByHand : "loaded by " + dump.Load.Name)}\n");
            text.Append($"  scripts  {string.Join(", ", Scripts(preset).Select(s => s.Name).Distinct())}\n\n");
        }
        GoldenFile.Check("presets.txt", text.ToString());
    }

    [Theory]
    [InlineData("postgres:16", "postgres")]
    [InlineData("postgres", "postgres")]
    [InlineData("docker.io/bitnami/postgresql:16.2.0", "postgres")]
    [InlineData("localhost:5000/postgis/postgis:16-3.4@sha256:abc", "postgres")]
    [InlineData("registry.cn-hangzhou.aliyuncs.com/wownow/Redis:7", "redis")]
    [InlineData("valkey/valkey:8", "valkey")]
    [InlineData("mysql:8.4", "mysql")]
    [InlineData("bitnami/mariadb", "mariadb")]
    [InlineData("mongo:7", "mongodb")]
    [InlineData("emqx/emqx-enterprise:5.8", "emqx")]
    [InlineData("eclipse-mosquitto:2", "mosquitto")]
    [InlineData("nginx:alpine", "nginx")]
    [InlineData("prometheuscommunity/postgres-exporter:v0.15", null)]
    [InlineData("redis/redisinsight", null)]
    [InlineData("mongo-express:1", null)]
    [InlineData("dpage/pgadmin4", null)]
    [InlineData("sha256:0123", null)]
    public void An_image_is_known_by_the_last_part_of_its_repository(string image, string? preset) => QuiescePresets.ForImage(image)?.Name.ShouldBe(preset);

    [Fact]
    public void No_image_belongs_to_two_presets_and_no_two_have_one_name()
    {
        string[] images = [.. QuiescePresets.All.SelectMany(p => p.Images)];
        images.ShouldBeUnique();
        QuiescePresets.All.Select(p => p.Name).ShouldBeUnique();
    }

    [Fact(Timeout = 60_000)]
    public async Task Every_script_is_one_that_a_plain_shell_reads()
    {
        foreach (PresetScript script in QuiescePresets.All.SelectMany(Scripts))
        {
            IReadOnlyList<string> command = script.Command(PresetOptions.Default);
            await HostProcess.RunAsync("sh", ["-nc", command[2]]);
            command[2].ShouldContain('\n', customMessage: "messages show the script's name instead of its text only when it has several lines");
            command[3].ShouldBe(script.Name);
        }
    }

    [Fact]
    public void What_the_policy_says_becomes_arguments_and_never_part_of_a_script()
    {
        PresetScript script = QuiescePresets.Named("postgres")!.Before!;
        var options = new PresetOptions(TimeSpan.FromSeconds(7), "u'x", "/run/p", ["a b", "$(c)"], [], DumpFormat.Plain);
        script.Command(options)[2].ShouldBe(script.Command(PresetOptions.Default)[2]);
        script.Command(options).Skip(3).ShouldBe([script.Name, "7", "u'x", "/run/p", "a b", "$(c)"]);
    }

    [Theory]
    [InlineData("HEAD…TAIL", true)]
    [InlineData("HEADTAIL\n", true)]
    [InlineData("HEAD…", false)]
    [InlineData("…TAIL", false)]
    [InlineData("", false)]
    public void A_whole_dump_has_its_head_and_somewhere_at_its_end_its_mark(string dump, bool whole)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(dump);
        new DumpMark("", "HEAD"u8.ToArray(), "TAIL"u8.ToArray()).IsWhole(bytes, bytes).ShouldBe(whole);
    }

    [Theory]
    [InlineData("xxE12", true)]
    [InlineData("E12", true)]
    [InlineData("E1", false)]
    [InlineData("xE123", false)]
    [InlineData("", false)]
    public void A_mark_may_have_its_exact_place(string dump, bool whole)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(dump);
        new DumpMark("", [], "E"u8.ToArray(), FromEnd: 3).IsWhole(bytes, bytes).ShouldBe(whole);
    }

    private static IEnumerable<PresetScript> Scripts(QuiescePreset preset) =>
        ((PresetScript?[])[preset.Check, preset.Session, preset.Before, preset.After]).Concat(
            ((DumpMethod?[])[preset.Dump, preset.DumpOfDatabases, preset.DumpCustom]).OfType<DumpMethod>()
                .SelectMany(d => (PresetScript?[])[d.Check, d.Write, d.Load, d.Contents, d.Clear])).OfType<PresetScript>();
}
