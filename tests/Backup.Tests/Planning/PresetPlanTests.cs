using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

/// <summary>Who gets which preset, on whose word, and what happens where it cannot run.</summary>
public sealed class PresetPlanTests
{
    private static ContainerFacts Db(string name, string image, string mounts = "data:/data", string state = "running", string? labels = null) =>
        Container(name, mounts, state, labels) with { Image = image };

    private static QuiescePolicy Wants(string preset, PresetMethod method = PresetMethod.Volume) =>
        QuiescePolicy.Default with { Preset = new PresetPolicy(preset, method, PresetOptions.Default) };

    private static BackupPlan Plan(Inventory inventory, QuiescePolicy? quiesce = null, string? cannot = null, params RulePolicy[] rules)
    {
        EnvironmentPolicy policy = Policy(quiesce, null, rules);
        BackupPlan asked = Planner.Plan(policy, inventory, []);
        return Planner.Plan(policy, inventory, [], null, asked.Questions.ToDictionary(q => q.Key, _ => cannot));
    }

    private static string Held(BackupPlan plan) => string.Join(" ", plan.Groups.SelectMany(g => g.Quiesce)
        .Select(q => $"{q.Container.Name}:{q.Mode.ToString().ToLowerInvariant()}:{string.Join("+", q.Hooks.Select(h => h.Before is null ? "-" : ExecText.Name(h.Before)))}"));

    [Fact]
    public void A_known_image_is_held_by_its_preset_and_others_are_paused()
    {
        BackupPlan plan = Plan(Inventory([Volume("data")], Db("db", "postgres:16"), Db("app", "acme/app:1")));
        Held(plan).ShouldBe("app:pause: db:pause:backup-postgres-checkpoint");
        plan.Groups[0].Quiesce.Select(q => q.Reason).ShouldBe(["auto: pause", "image postgres:16: preset postgres"]);
        plan.Volumes.Single().Consistency.ShouldBe("pause");
        plan.Groups[0].Quiesce[1].Hooks[0].Proves.ShouldBeTrue();
        plan.Dumps.ShouldBeEmpty();
    }

    [Fact]
    public void A_preset_that_holds_a_lock_has_a_session_and_its_end()
    {
        Hook hook = Plan(Inventory([Volume("data")], Db("db", "mysql:8"))).Groups[0].Quiesce[0].Hooks.ShouldHaveSingleItem();
        ExecText.Name(hook.Session.ShouldNotBeNull()).ShouldBe("backup-mysql-lock");
        ExecText.Name(hook.After.ShouldNotBeNull()).ShouldBe("backup-mysql-release");
    }

    [Theory]
    [InlineData("backup.quiesce=stop", "db:stop:")]
    [InlineData("backup.before=sync", "db:none:/bin/sh -c sync")]
    [InlineData("backup.preset=none", "db:pause:")]
    [InlineData("backup.preset=redis", "db:pause:backup-redis-save")]
    [InlineData("backup.preset=oracle", "db:pause:")]
    public void Labels_win_over_the_image(string labels, string held)
    {
        BackupPlan plan = Plan(Inventory([Volume("data")], Db("db", "postgres:16", labels: labels)));
        Held(plan).ShouldBe(held);
        plan.Warnings.Any(w => w.Problem.Contains("no such preset")).ShouldBe(labels.Contains("oracle"));
    }

    [Fact]
    public void The_policy_wins_over_labels_and_image()
    {
        Inventory inventory = Inventory([Volume("data")], Db("db", "postgres:16", labels: "backup.preset=redis"));
        Held(Plan(inventory, Wants("mariadb"))).ShouldBe("db:pause:backup-mariadb-await-lock");
        Held(Plan(inventory, QuiescePolicy.Of(QuiesceMode.Pause))).ShouldBe("db:pause:");
    }

    [Fact]
    public void Where_several_write_the_policys_preset_is_for_the_one_that_is_known_as_such()
    {
        Held(Plan(Inventory([Volume("data")], Db("db", "postgres:16"), Db("app", "acme/app:1")), Wants("postgres"))).ShouldBe("app:pause: db:pause:backup-postgres-checkpoint");
        Held(Plan(Inventory([Volume("data")], Db("own", "acme/pg:1", labels: "backup.preset=postgres"), Db("app", "acme/app:1")), Wants("postgres")))
            .ShouldBe("app:pause: own:pause:backup-postgres-checkpoint");
        BackupPlan unclear = Plan(Inventory([Volume("data")], Db("a", "acme/pg:1"), Db("b", "acme/app:1")), Wants("postgres"));
        unclear.Groups.ShouldBeEmpty();
        RefusedSource refused = unclear.Refused.ShouldHaveSingleItem();
        refused.Problem.ShouldContain("which of a, b is that database is not known");
        refused.Hint.ShouldContain("backup.preset=postgres");
    }

    [Fact]
    public void A_preset_that_cannot_run_is_a_pause_with_a_warning_where_only_the_image_spoke()
    {
        BackupPlan plan = Plan(Inventory([Volume("data")], Db("db", "postgres:16")), cannot: "there is no psql in the container");
        Held(plan).ShouldBe("db:pause:");
        plan.Volumes.Single().Consistency.ShouldBe("pause");
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldBe("the preset postgres cannot run in db: there is no psql in the container");
        plan.Refused.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(null)]
    [InlineData("backup.preset=postgres")]
    public void A_preset_that_cannot_run_is_a_refusal_where_a_person_asked_for_it(string? label)
    {
        BackupPlan plan = Plan(Inventory([Volume("data"), Volume("web")], Db("db", "postgres:16", labels: label), Db("www", "acme/www", "web:/www")),
            null, "wrong password", label is null ? [new RulePolicy("data", null, Wants("postgres"), null, null)] : []);
        plan.Refused.ShouldHaveSingleItem().Source.ShouldBe(SourceRef.Volume("data"));
        plan.Refused[0].Problem.ShouldContain("wrong password");
        plan.Volumes.ShouldHaveSingleItem().Source.Name.ShouldBe("web", "the others go on");
        Held(plan).ShouldBe("www:pause:");
    }

    [Fact]
    public void A_plan_without_answers_assumes_the_best_and_asks_each_question_once()
    {
        Inventory inventory = Inventory([Volume("data"), Volume("more")], Db("db", "postgres:16", "data:/data more:/more"));
        BackupPlan plan = Planner.Plan(Policy(), inventory, []);
        PresetQuestion question = plan.Questions.ShouldHaveSingleItem();
        (question.Container, ExecText.Name(question.Command)).ShouldBe(("db", "backup-postgres-check"));
        Held(plan).ShouldBe("db:pause:backup-postgres-checkpoint");
        Planner.Plan(Policy(), inventory, [], null, new Dictionary<string, string?> { [question.Key] = null }).Questions.ShouldBeEmpty();
    }

    [Fact]
    public void Plain_files_are_read_as_they_are_and_nobody_is_warned()
    {
        BackupPlan plan = Plan(Inventory([Volume("data")], Db("www", "nginx:1.27")));
        Held(plan).ShouldBeEmpty();
        plan.Volumes.Single().Consistency.ShouldBe("none");
        plan.Warnings.ShouldBeEmpty();
    }

    // ---- dumps

    private static string Dumps(BackupPlan plan) => string.Join(" ", plan.Dumps.Select(d => $"{d.Source}={d.Container.Name}:{d.Preset.Name}"));

    [Fact]
    public void A_dump_stands_in_place_of_its_volume_or_beside_it()
    {
        Inventory inventory = Inventory([Volume("data")], Db("db", "postgres:16"));
        BackupPlan instead = Plan(inventory, Wants("postgres", PresetMethod.Dump));
        Dumps(instead).ShouldBe("dump:db=db:postgres");
        instead.Volumes.ShouldBeEmpty();
        instead.Skipped.ShouldHaveSingleItem().Reason.ShouldBe("its database is dumped instead, as dump:db");
        BackupPlan both = Plan(inventory, Wants("postgres", PresetMethod.Both));
        Dumps(both).ShouldBe("dump:db=db:postgres");
        both.Volumes.ShouldHaveSingleItem();
    }

    [Fact]
    public void A_dumps_name_outlives_its_container_and_no_two_share_one()
    {
        string compose = "backup.dump=true; com.docker.compose.project=shop; com.docker.compose.service=db; com.docker.compose.container-number=";
        Dumps(Plan(Inventory([], Db("shop-db-1", "postgres:16", "", labels: compose + "1"), Db("shop-db-2", "postgres:16", "", labels: compose + "2"))))
            .ShouldBe("dump:shop_db=shop-db-1:postgres dump:shop_db#2=shop-db-2:postgres");
        Dumps(Plan(Inventory([], Db("shop-db-1", "postgres:16", "", labels: compose + "1"), Db("shop_db", "postgres:16", "", labels: "backup.dump=true"))))
            .ShouldBe("dump:shop-db-1=shop-db-1:postgres dump:shop_db=shop_db:postgres");
        string task = "backup.dump=true; com.docker.swarm.task.id=t; com.docker.swarm.service.name=erp_db";
        Dumps(Plan(Inventory([], Db("erp_db.1.now", "postgres:16", "", labels: task), Container("erp_db.1.before", "", "exited", task)))).ShouldBe("dump:erp_db=erp_db.1.now:postgres");
    }

    [Fact]
    public void A_rule_for_the_dump_itself_wins_over_the_volumes_and_the_label()
    {
        Inventory inventory = Inventory([Volume("data")], Db("db", "postgres:16", labels: "backup.dump=true"));
        Dumps(Plan(inventory)).ShouldBe("dump:db=db:postgres");
        Dumps(Plan(inventory, null, null, new RulePolicy("dump:db", null, QuiescePolicy.Of(QuiesceMode.None), null, null))).ShouldBeEmpty();
        Dumps(Plan(Inventory([Volume("data")], Db("db", "postgres:16")), null, null, new RulePolicy("dump:*", null, Wants("postgres", PresetMethod.Dump), null, null)))
            .ShouldBe("dump:db=db:postgres");
    }

    [Fact]
    public void What_the_volumes_rule_says_of_keeping_does_not_hold_for_its_dump_which_is_told_unless_the_dump_has_a_rule_of_its_own()
    {
        Inventory inventory = Inventory([Volume("data")], Db("db", "postgres:16"));
        var shorter = new RetentionPolicy(1, [], 0);
        var volume = new RulePolicy("data", null, Wants("postgres", PresetMethod.Both), null, shorter);
        Plan(inventory, null, null, volume).Warnings.ShouldContain(w => w.Problem.StartsWith("dump:db goes to store"));
        Plan(inventory, null, null, volume, new RulePolicy("dump:*", null, null, null, new RetentionPolicy(2, [], 0))).Warnings.ShouldBeEmpty();
        Plan(inventory, null, null, volume with { Retention = null }).Warnings.ShouldBeEmpty();
    }

    [Fact]
    public void A_rule_with_a_wildcard_dumps_only_what_is_known_as_that_database() =>
        Dumps(Plan(Inventory([], Db("db", "postgres:16", ""), Db("www", "nginx", ""), Db("own", "acme/pg", "", labels: "backup.preset=postgres"), Db("cache", "redis", "")),
            null, null, new RulePolicy("dump:*", null, Wants("postgres", PresetMethod.Dump), null, null))).ShouldBe("dump:db=db:postgres dump:own=own:postgres");

    [Fact]
    public void A_dump_that_cannot_be_made_is_a_refusal_and_its_volume_is_not_read_in_its_place()
    {
        BackupPlan plan = Plan(Inventory([Volume("data")], Db("db", "postgres:16")), Wants("postgres", PresetMethod.Dump), "wrong password");
        plan.Refused.ShouldHaveSingleItem().Problem.ShouldBe("db cannot be dumped: wrong password");
        plan.Volumes.ShouldBeEmpty();
        Plan(Inventory([Volume("data")], Db("db", "postgres:16", state: "exited")), Wants("postgres", PresetMethod.Dump))
            .Refused.ShouldHaveSingleItem().Problem.ShouldContain("only a running database can be dumped");
        Plan(Inventory([Volume("data")]), Wants("postgres", PresetMethod.Dump)).Refused.ShouldHaveSingleItem().Problem.ShouldContain("no container writes to it");
        Plan(Inventory([], Db("broker", "eclipse-mosquitto", "", labels: "backup.dump=true"))).Refused.ShouldHaveSingleItem().Problem.ShouldContain("has no dump");
    }

    [Fact]
    public void Whoever_names_a_volume_that_is_dumped_instead_means_its_dump()
    {
        Inventory inventory = Inventory([Volume("data"), Volume("web")], Db("db", "postgres:16"), Db("www", "acme/www", "web:/www"));
        EnvironmentPolicy policy = Policy(null, null, new RulePolicy("data", null, Wants("postgres", PresetMethod.Dump), null, null));
        foreach (string glob in (string[])["data", "dump:db", "dump:*"])
        {
            BackupPlan plan = Planner.Plan(policy, inventory, [], [glob]);
            Dumps(plan).ShouldBe("dump:db=db:postgres", glob);
            plan.Volumes.ShouldBeEmpty(glob);
        }
        BackupPlan other = Planner.Plan(policy, inventory, [], ["web"]);
        other.Dumps.ShouldBeEmpty();
        other.Volumes.ShouldHaveSingleItem();
    }

    [Fact]
    public void A_dump_that_goes_elsewhere_than_its_volumes_rule_says_is_a_warning()
    {
        var rule = new RulePolicy("data", "oss", Wants("postgres", PresetMethod.Dump), null, null);
        Inventory inventory = Inventory([Volume("data")], Db("db", "postgres:16"));
        Plan(inventory, null, null, rule).Warnings.ShouldHaveSingleItem().Hint.ShouldContain("\"volume\": \"dump:db\"");
        BackupPlan ruled = Plan(inventory, null, null, rule, new RulePolicy("dump:db", "oss", null, null, null));
        ruled.Warnings.ShouldBeEmpty();
        ruled.Dumps.Single().Policy.Store.ShouldBe("oss");
    }
}
