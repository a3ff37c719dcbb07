using Backup.Environments;
using Backup.Policies;
using Shouldly;
using Xunit;

namespace Backup.Tests.Policies;

public sealed class PolicyFileTests
{
    private const string Disk = """ "stores": { "disk": { "type": "directory", "path": "data" } } """;

    private static Policy Parse(string text) => PolicyFile.Parse(text, "/etc/backup/backup.json");

    private static EnvironmentPolicy One(string environment, string defaults = "{}", string stores = Disk) =>
        Parse($$"""{ {{stores}}, "defaults": {{defaults}}, "environments": { "e": {{environment}} } }""").Environments.ShouldHaveSingleItem();

    private static EnvironmentPolicy With(string members, string defaults = "{}", string stores = Disk) =>
        One($$"""{ "connect": "unix:///var/run/docker.sock", {{members}} }""", defaults, stores);

    private static StorePolicy Store(string store) => Parse($$"""{ "stores": { "s": {{store}} } }""").Stores.ShouldHaveSingleItem();

    private static PolicyProblem Wrong(Action read)
    {
        var e = Should.Throw<PolicyException>(read);
        e.Kind.ShouldBe(FailureKind.Usage);
        return e.Problems.ShouldHaveSingleItem(e.Message);
    }

    private const string S3 = """
        "type": "s3", "bucket": "b", "accessKeyId": "env:ID", "secretAccessKey": "file:s3.secret"
        """;

    [Fact]
    public void The_spool_has_a_size_and_a_place_and_both_may_be_left_open()
    {
        Parse($$"""{ {{Disk}} }""").Spool.ShouldBe(new SpoolPolicy(null, null));
        Parse($$"""{ {{Disk}}, "spool": { "maxBytes": "8GiB", "path": "spool" } }""").Spool.ShouldBe(new SpoolPolicy(8L << 30, "/etc/backup/spool"));
        Parse($$"""{ {{Disk}}, "spool": { "maxBytes": 0 } }""").Spool.ShouldBe(new SpoolPolicy(0, null));
    }

    [Fact]
    public void One_environment_is_read_at_a_time_unless_the_policy_allows_more()
    {
        Parse($$"""{ {{Disk}} }""").Streams.ShouldBe(1);
        Parse($$"""{ {{Disk}}, "streams": 4 }""").Streams.ShouldBe(4);
        foreach (string wrong in new[] { "0", "17", "\"two\"" })
            Wrong(() => Parse($$"""{ {{Disk}}, "streams": {{wrong}} }""")).JsonPath.ShouldBe("$.streams");
    }

    [Theory]
    [InlineData("\"8 fish\"")]
    [InlineData("-1")]
    public void A_size_of_the_spool_that_is_none_is_told_with_its_place(string size)
    {
        PolicyProblem wrong = Wrong(() => Parse($$"""{ {{Disk}}, "spool": { "maxBytes": {{size}} } }"""));
        wrong.JsonPath.ShouldBe("$.spool.maxBytes");
        wrong.Hint.ShouldContain("8GiB");
    }

    [Fact]
    public void A_wrong_key_of_the_spool_is_told_with_the_right_one() =>
        Wrong(() => Parse($$"""{ {{Disk}}, "spool": { "maxByte": 1 } }""")).Hint.ShouldContain("maxBytes");

    [Fact]
    public void Comments_and_trailing_commas_are_fine_and_paths_belong_to_the_policys_folder()
    {
        Policy policy = Parse("""
            { // a comment
              "$schema": "./backup.schema.json",
              "stores": { "disk": { "type": "directory", "path": "../data/", }, }, /* another */
              "environments": { "local": { "connect": "unix:///var/run/docker.sock" }, },
            }
            """);
        policy.Stores.ShouldHaveSingleItem().ShouldBe(new DirectoryStorePolicy("disk", "/etc/data"));
        EnvironmentPolicy local = policy.Environments.ShouldHaveSingleItem();
        local.Connect.ShouldBe(new DockerConnectPolicy(new Uri("unix:///var/run/docker.sock"), null));
        local.Schedule.ShouldBeNull();
        local.Volumes.ShouldBe(VolumePatterns.All);
        local.Default.ShouldBe(new VolumePolicy("disk", QuiescePolicy.Default, 3, null, TimeZoneInfo.Local));
    }

    [Fact]
    public void Malformed_JSON_names_line_and_column()
    {
        PolicyProblem problem = Wrong(() => Parse("{\n  \"stores\": {\n    \"disk\" 7\n  }\n}"));
        problem.Problem.ShouldStartWith("line 3, column 12: not valid JSON: ");
        problem.JsonPath.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("nonsense")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"stores\": {\"a\\ud800\": 1}}")]
    [InlineData("{\"stores\": {\"a\": {\"type\":\"directory\",\"path\":\"\\ud800\"}}}")]
    public void What_is_no_policy_at_all_is_refused_in_words(string text) => Should.Throw<PolicyException>(() => Parse(text)).Problems.ShouldNotBeEmpty();

    [Fact]
    public void All_problems_are_reported_at_once_with_their_places()
    {
        var e = Should.Throw<PolicyException>(() => Parse("""
            { "stores": { "disk": { "type": "directory", "path": 5, "pth": "x" }, "oss": { "type": "s3", "provider": "aliyun", "bucket": "b", "accessKeyId": "AKIA123", "secretAccessKey": "env:X" } },
              "defualts": {},
              "environments": { "local": { "connect": "unix:///s", "store": "dsik", "rules": [ { "volume": "v", "quiesce": "paus" } ] } } }
            """));
        e.Problems.Select(p => p.JsonPath).ShouldBe(
            ["$.defualts", "$.stores.disk.pth", "$.stores.disk.path", "$.stores.oss.provider", "$.stores.oss.accessKeyId", "$.environments.local.store", "$.environments.local.rules[0].quiesce"]);
        e.Problems[0].Hint.ShouldBe("did you mean \"defaults\"?");
        e.Problems[3].Hint.ShouldContain("aliyun-oss");
        e.Problems[5].Hint.ShouldBe("did you mean \"disk\"?");
        e.Problems[6].Hint.ShouldBe("did you mean \"pause\"?");
        foreach (PolicyProblem p in e.Problems) e.Message.ShouldContain($"{p.JsonPath}: {p.Problem}");
        e.ToString().ShouldNotContain("AKIA123");
    }

    public static TheoryData<string, string, string, string> Mistakes => new()
    {
        { """ "schedule": "0 25 * * *" """, "$.environments.e.schedule", "\"25\" is no hour", "0 3 * * *" },
        { """ "schedule": 5 """, "$.environments.e.schedule", "is a number, but a text", "0 3 * * *" },
        { """ "timeZone": "Asia/Shangai" """, "$.environments.e.timeZone", "no time zone \"Asia/Shangai\"", "did you mean \"Asia/Shanghai\"?" },
        { """ "store": "dsk" """, "$.environments.e.store", "no store \"dsk\"", "did you mean \"disk\"?" },
        { """ "compression": { "level": 20 } """, "$.environments.e.compression.level", "20 is out of range", "1 to 19" },
        { """ "compression": { "level": 1.5 } """, "$.environments.e.compression.level", "1.5 is out of range", "1 to 19" },
        { """ "compression": 3 """, "$.environments.e.compression", "but an object", "braces" },
        { """ "quiesce": true """, "$.environments.e.quiesce", "is true or false, but an object", "braces" },
        { """ "quiesce": { "preset": "postgrse" } """, "$.environments.e.quiesce.preset", "\"postgrse\" is none of", "postgres" },
        { """ "quiesce": { "preset": "postgres", "then": "pause" } """, "$.environments.e.quiesce.then", "a preset has no key \"then\"", "" },
        { """ "quiesce": { "preset": "postgres", "method": "tape" } """, "$.environments.e.quiesce.method", "\"tape\" is none of volume, dump, both", "" },
        { """ "quiesce": { "preset": "postgres", "files": ["/a"] } """, "$.environments.e.quiesce.files", "the preset postgres has no use for \"files\"", "user, passwordFile, databases" },
        { """ "quiesce": { "preset": "nginx", "user": "u" } """, "$.environments.e.quiesce.user", "the preset nginx has no use for \"user\"", "Remove it" },
        { """ "quiesce": { "preset": "mosquitto", "method": "both" } """, "$.environments.e.quiesce.method", "the preset mosquitto has no dump", "volume" },
        { """ "quiesce": { "preset": "postgres", "method": "dump", "format": "custom" } """, "$.environments.e.quiesce.format", "the custom format is of one database", "shop" },
        { """ "quiesce": { "preset": "postgres", "databases": ["a"], "format": "custom" } """, "$.environments.e.quiesce.format", "\"format\" is of dumps", "dump" },
        { """ "quiesce": { "preset": "sqlite" } """, "$.environments.e.quiesce", "the preset sqlite needs \"files\"", "/data/app.db" },
        { """ "quiesce": { "preset": "sqlite", "files": ["app.db"] } """, "$.environments.e.quiesce.files[0]", "is no absolute path", "/data/app.db" },
        { """ "quiesce": { "preset": "sqlite", "method": "dump", "files": ["/a", "/b"] } """, "$.environments.e.quiesce.files", "a dump is of one file", "volume" },
        { """ "quiesce": { "preset": null } """, "$.environments.e.quiesce", "\"preset\" is missing", "postgres" },
        { """ "quiesce": { "before": "pg_dump" } """, "$.environments.e.quiesce.before", "a command is a list", "/bin/sh" },
        { """ "quiesce": { "before": [] } """, "$.environments.e.quiesce.before", "empty", "/bin/sh" },
        { """ "quiesce": { "before": ["x"], "timeout": "soon" } """, "$.environments.e.quiesce.timeout", "\"soon\" is no time limit", "30s" },
        { """ "quiesce": { "before": ["x"], "timeout": "2h" } """, "$.environments.e.quiesce.timeout", "no time limit", "one hour" },
        { """ "quiesce": { "before": ["x"], "then": "auto" } """, "$.environments.e.quiesce.then", "none of none, pause, stop", "known here" },
        { """ "quiesce": { } """, "$.environments.e.quiesce", "neither before", "before" },
        { """ "maxDowntime": "soon" """, "$.environments.e.maxDowntime", "\"soon\" is no time limit", "\"none\" for no limit" },
        { """ "maxDowntime": "0s" """, "$.environments.e.maxDowntime", "no time limit", "30s" },
        { """ "maxDowntime": 30 """, "$.environments.e.maxDowntime", "is a number, but a text", "30s" },
        { """ "whenExceeded": "ignore" """, "$.environments.e.whenExceeded", "none of fail, keep", "known here" },
        { """ "healthTimeout": "2h" """, "$.environments.e.healthTimeout", "no time limit", "one hour" },
        { """ "grouping": "projects" """, "$.environments.e.grouping", "none of project, volume", "did you mean \"project\"?" },
        { """ "groups": [] """, "$.environments.e.groups", "but an object", "braces" },
        { """ "groups": { "shop": [] } """, "$.environments.e.groups.shop", "names no volume", "shop_*" },
        { """ "groups": { "shop": "db" } """, "$.environments.e.groups.shop", "but a list", "[\"*\"]" },
        { """ "groups": { "shop": ["/srv"] } """, "$.environments.e.groups.shop[0]", "can match nothing", "bind:/srv" },
        { """ "groups": { "a/b": ["x"] } """, "$.environments.e.groups['a/b']", "cannot be the name of a group", "1 to 64" },
        { """ "retention": { } """, "$.environments.e.retention", "keeps nothing", "keepLast" },
        { """ "retention": { "keepLast": -1 } """, "$.environments.e.retention.keepLast", "out of range", "0 or more" },
        { """ "retention": { "keep": [{ "cron": "0 0 * * *" }] } """, "$.environments.e.retention.keep[0]", "neither \"for\" nor \"count\"", "14d" },
        { """ "retention": { "keep": [{ "cron": "0 0 * * *", "for": "1d", "count": 2 }] } """, "$.environments.e.retention.keep[0]", "both", "14d" },
        { """ "retention": { "keep": [{ "cron": "0 0 * * *", "for": "12m" }] } """, "$.environments.e.retention.keep[0].for", "no span", "did you mean \"12mo\" (months)?" },
        { """ "retention": { "keep": [{ "cron": "0 0 * * *", "for": "0d" }] } """, "$.environments.e.retention.keep[0].for", "no span", "14d" },
        { """ "retention": { "keep": [{ "cron": "0 0 * * *", "for": "999999y" }] } """, "$.environments.e.retention.keep[0].for", "no span", "14d" },
        { """ "retention": { "keep": [{ "corn": "0 0 * * *", "for": "1d", "cron": "@daily" }] } """, "$.environments.e.retention.keep[0].corn", "no key \"corn\"", "known here" },
        { """ "volumes": { "include": "*" } """, "$.environments.e.volumes.include", "is a text, but a list", "[\"*\"]" },
        { """ "volumes": { "include": ["/srv"] } """, "$.environments.e.volumes.include[0]", "can match nothing", "bind:/srv" },
        { """ "rules": [{ "quiesce": "none" }] """, "$.environments.e.rules[0]", "\"volume\" is missing", "db_data" },
        { """ "rules": [{ "volume": "v" }] """, "$.environments.e.rules[0]", "says nothing", "quiesce" },
        { """ "rules": {} """, "$.environments.e.rules", "a list", "volume" },
        { """ "store": "disk", "store": "disk" """, "$.environments.e.store", "twice", "Remove" },
        { """ "qiuesce": "none" """, "$.environments.e.qiuesce", "no key \"qiuesce\"", "did you mean \"quiesce\"?" },
    };

    [Theory]
    [MemberData(nameof(Mistakes))]
    public void A_mistake_in_an_environment_has_its_place_and_its_cure(string members, string path, string problem, string hint)
    {
        PolicyProblem found = Wrong(() => With(members));
        found.JsonPath.ShouldBe(path);
        found.Problem.ShouldContain(problem);
        found.Hint.ShouldContain(hint);
    }

    [Theory]
    [InlineData("\"ssh://user:word@host\"", "a password, which ssh does not take")]
    [InlineData("\"ssh:///var/run/docker.sock\"", "no address of a host")]
    [InlineData("\"ssh://host?x\"", "no address of a host")]
    [InlineData("{ \"type\": \"docker\", \"url\": \"ssh://host\", \"tls\": {} }", "ssh encrypts by itself")]
    [InlineData("{ \"type\": \"ssh\", \"url\": \"ssh://host\" }", "no connection type \"ssh\"")]
    [InlineData("\"http://host:2375\"", "begins with unix://, tcp:// or ssh://")]
    [InlineData("\"/var/run/docker.sock\"", "no address of an engine")]
    [InlineData("\"unix://var/run/docker.sock\"", "absolute path")]
    [InlineData("\"tcp://u:p@host:1\"", "user or password")]
    [InlineData("\"tcp://host:2375/x\"", "no address")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"http://x:9001\" }", "begins with https://")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"10.0.0.2:9001\" }", "is no address of an agent")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x:9001/api\" }", "is no address of an agent")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x\", \"secret\": \"hunter2\" }", "a literal stands where a reference to a secret belongs")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x\", \"secret\": \"env:S\", \"pair\": true }", "has no meaning beside")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x\", \"pair\": \"yes\" }", "true or false belongs here")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x\", \"limits\": { \"upload\": \"soon\" } }", "is no time limit")]
    [InlineData("{ \"type\": \"portainer-agent\", \"url\": \"https://x\", \"tls\": {} }", "has no key \"tls\"")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p\", \"environment\": \"e\" }", "\"apiKey\" is missing")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p\", \"apiKey\": \"ptr_abc\", \"environment\": \"e\" }", "a literal stands where a reference to a secret belongs")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p\", \"apiKey\": \"env:X\" }", "\"environment\" is missing")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p\", \"apiKey\": \"env:X\", \"environment\": 0 }", "out of range")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"p:9443\", \"apiKey\": \"env:X\", \"environment\": 1 }", "is no address of a Portainer")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p/api\", \"apiKey\": \"env:X\", \"environment\": 1 }", "is more than the address of a Portainer")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"http://p\", \"apiKey\": \"env:X\", \"environment\": 1, \"tls\": { \"ca\": \"x\" } }", "http:// has no TLS")]
    [InlineData("{ \"type\": \"portainer\", \"url\": \"https://p\", \"apiKey\": \"env:X\", \"environment\": 1, \"tls\": { \"key\": \"x\" } }", "has no key \"key\"")]
    [InlineData("{ \"type\": \"dokcer\" }", "no connection type")]
    [InlineData("{ \"url\": \"tcp://host:1\" }", "\"type\" is missing")]
    [InlineData("{ \"type\": \"docker\" }", "\"url\" is missing")]
    [InlineData("{ \"type\": \"docker\", \"url\": \"unix:///s\", \"tls\": {} }", "no TLS")]
    [InlineData("{ \"type\": \"docker\", \"url\": \"tcp://h:1\", \"tls\": { \"cert\": \"c.pem\" } }", "\"cert\" without \"key\"")]
    [InlineData("5", "an object")]
    public void A_connection_that_cannot_be_is_refused(string connect, string words) => Wrong(() => One($$"""{ "connect": {{connect}} }""")).Problem.ShouldContain(words);

    [Fact]
    public void A_TLS_connection_is_read_with_its_key_as_a_secret()
    {
        One("""{ "connect": { "type": "docker", "url": "tcp://10.0.0.3:2376", "tls": { "ca": "ca.pem", "cert": "/tls/c.pem", "key": "file:k.pem" } } }""").Connect
            .ShouldBe(new DockerConnectPolicy(new Uri("tcp://10.0.0.3:2376"), new TlsPolicy("/etc/backup/ca.pem", "/tls/c.pem", new Secret("file:/etc/backup/k.pem", "$.environments.e.connect.tls.key"))));
        ((DockerConnectPolicy)One("""{ "connect": "tcp://10.0.0.3" }""").Connect).Url.Port.ShouldBe(2375);
    }

    [Theory]
    [InlineData("ssh://host")]
    [InlineData("ssh://root@host:2222")]
    [InlineData("ssh://root@[::1]/run/user/1000/docker.sock")]
    public void An_ssh_address_is_read_as_text_and_as_url(string url)
    {
        One($$"""{ "connect": "{{url}}" }""").Connect.ShouldBe(new DockerConnectPolicy(new Uri(url), null));
        One($$"""{ "connect": { "type": "docker", "url": "{{url}}" } }""").Connect.ShouldBe(new DockerConnectPolicy(new Uri(url), null));
    }

    [Fact]
    public void An_S3_store_is_read_whole()
    {
        Store($$"""{ {{S3}}, "provider": "minio", "region": "r", "prefix": "/a/b/", "endpoint": "https://h:9000", "addressing": "path", "partSize": "16MiB", "storageClass": "IA", "caFile": "ca.pem", "format": "archive" }""")
            .ShouldBe(new S3StorePolicy("s", S3Provider.Minio, "r", "b", "a/b", new Uri("https://h:9000"), S3Addressing.Path,
                new Secret("env:ID", "$.stores.s.accessKeyId"), new Secret("file:/etc/backup/s3.secret", "$.stores.s.secretAccessKey"), 16 << 20, "IA", "/etc/backup/ca.pem"));
        ((S3StorePolicy)Store($$"""{ {{S3}}, "provider": "aws", "region": "r", "partSize": 5242880 }""")).PartSize.ShouldBe(5 << 20);
    }

    [Theory]
    [InlineData("\"provider\": \"minio\"", "", "\"endpoint\" is missing")]
    [InlineData("\"provider\": \"ceph\"", "", "\"endpoint\" is missing")]
    [InlineData("\"provider\": \"r2\"", "", "\"endpoint\" is missing")]
    [InlineData("\"prefix\": \"\"", "", "\"endpoint\" is missing")]
    [InlineData("\"provider\": \"aws\"", "", "\"region\" is missing")]
    [InlineData("\"provider\": \"aliyun-oss\"", "", "\"region\" is missing")]
    [InlineData("\"provider\": \"tencent-cos\"", "", "\"region\" is missing")]
    [InlineData("\"provider\": \"b2\"", "", "\"region\" is missing")]
    [InlineData("\"endpoint\": \"s3.example.com\"", ".endpoint", "is no endpoint")]
    [InlineData("\"endpoint\": \"https://h/bucket\"", ".endpoint", "only scheme, host and port")]
    [InlineData("\"endpoint\": \"https://h\", \"partSize\": \"4MiB\"", ".partSize", "no part size")]
    [InlineData("\"endpoint\": \"https://h\", \"partSize\": \"6GiB\"", ".partSize", "no part size")]
    [InlineData("\"endpoint\": \"https://h\", \"partSize\": \"much\"", ".partSize", "no part size")]
    [InlineData("\"endpoint\": \"https://h\", \"prefix\": \"a//b\"", ".prefix", "is no prefix")]
    [InlineData("\"endpoint\": \"https://h\", \"prefix\": \"../x\"", ".prefix", "is no prefix")]
    [InlineData("\"endpoint\": \"https://h\", \"addressing\": \"vhost\"", ".addressing", "none of virtual, path")]
    [InlineData("\"provider\": \"aws\", \"region\": \"r\", \"addressing\": \"custom-domain\"", ".addressing", "needs the domain")]
    [InlineData("\"format\": \"repository\", \"password\": \"env:P\"", "", "not supported by this version")]
    [InlineData("\"endpoint\": \"https://h\", \"format\": \"zip\"", ".format", "is no format")]
    public void A_mistake_in_an_S3_store_is_named(string member, string path, string words)
    {
        PolicyProblem problem = Wrong(() => Store($$"""{ {{S3}}, {{member}} }"""));
        problem.JsonPath.ShouldBe("$.stores.s" + path);
        problem.Problem.ShouldContain(words);
    }

    [Theory]
    [InlineData("\"hunter2\"")]
    [InlineData("\"abc:def\"")]
    [InlineData("\"\"")]
    public void A_literal_secret_is_refused_and_never_repeated(string literal)
    {
        PolicyProblem problem = Wrong(() => Store($$"""{ "type": "s3", "provider": "aws", "region": "r", "bucket": "b", "accessKeyId": "env:ID", "secretAccessKey": {{literal}} }"""));
        problem.JsonPath.ShouldBe("$.stores.s.secretAccessKey");
        problem.Hint.ShouldBe("secrets are never written in the policy: use env:NAME, file:PATH or cred:NAME");
        problem.ToString().ShouldNotContain("hunter2");
    }

    [Theory]
    [InlineData("{}", "\"stores\" is missing")]
    [InlineData("{ \"stores\": {} }", "no store")]
    [InlineData("{ \"stores\": { \"a/b\": { \"type\": \"directory\", \"path\": \"x\" } } }", "cannot be the name of a store")]
    [InlineData("{ \"stores\": { \"s\": { \"path\": \"x\" } } }", "\"type\" is missing")]
    [InlineData("{ \"stores\": { \"s\": { \"type\": \"sftp\" } } }", "no store type \"sftp\"")]
    [InlineData("{ \"stores\": { \"s\": { \"type\": \"directory\" } } }", "\"path\" is missing")]
    [InlineData("{ \"stores\": { \"s\": \"/var/backups\" } }", "an object")]
    public void A_policy_without_a_proper_store_is_refused(string text, string words) => Wrong(() => Parse(text)).Problem.ShouldContain(words);

    private const string Two = """ "stores": { "disk": { "type": "directory", "path": "a" }, "vault": { "type": "directory", "path": "b" } } """;

    [Fact]
    public void With_two_stores_one_must_be_chosen()
    {
        PolicyProblem problem = Wrong(() => With("\"rules\": []", stores: Two));
        (problem.JsonPath, problem.Problem).ShouldBe(("$.environments.e", "says no \"store\", and there are 2"));
        With("\"store\": \"vault\"", stores: Two).Default.Store.ShouldBe("vault");
        With("\"rules\": []", "{ \"store\": \"vault\" }", Two).Default.Store.ShouldBe("vault");
        Wrong(() => With("\"rules\": []", "{ \"store\": \"vualt\" }", Two)).JsonPath.ShouldBe("$.defaults.store");
    }

    [Fact]
    public void An_environment_overrides_the_defaults_value_by_value()
    {
        const string Defaults = """{ "schedule": "0 3 * * *", "timeZone": "Asia/Shanghai", "quiesce": "stop", "compression": { "level": 9 }, "retention": { "keepLast": 5 } }""";
        EnvironmentPolicy silent = With("\"rules\": []", Defaults);
        silent.Schedule!.Cron.ShouldBe("0 3 * * *");
        silent.Schedule.TimeZone.Id.ShouldBe("Asia/Shanghai");
        silent.Default.Quiesce.ShouldBe(QuiescePolicy.Of(QuiesceMode.Stop));
        (silent.Default.CompressionLevel, silent.Default.Retention!.KeepLast, silent.Default.TimeZone.Id).ShouldBe((9, 5, "Asia/Shanghai"));

        EnvironmentPolicy own = With("\"schedule\": \"@hourly\", \"timeZone\": \"UTC\", \"quiesce\": \"auto\", \"compression\": { \"level\": 1 }", Defaults);
        (own.Schedule!.Cron, own.Schedule.TimeZone.Id, own.Default.TimeZone.Id).ShouldBe(("@hourly", "UTC", "UTC"));
        own.Default.Quiesce.ShouldBe(QuiescePolicy.Default);
        own.Default.CompressionLevel.ShouldBe(1);

        With("\"schedule\": null", Defaults).Schedule.ShouldBeNull();
        With("\"schedule\": \"none\"", Defaults).Schedule.ShouldBeNull();
        With("\"timeZone\": \"UTC\"", Defaults).Schedule!.TimeZone.Id.ShouldBe("UTC");
    }

    [Fact]
    public void Retention_shorthands_are_counts_of_slots()
    {
        RetentionPolicy retention = With(""" "retention": { "keepLast": 1, "keepHourly": 24, "keepDaily": 7, "keepWeekly": 4, "keepMonthly": 12, "keepYearly": 3, "minimum": 2, "keep": [{ "cron": "0 12 * * *", "for": "1y6mo" }] } """).Default.Retention!;
        (retention.KeepLast, retention.Minimum).ShouldBe((1, 2));
        retention.Keep[0].For.ShouldBe(new CalendarSpan("1y6mo", 18, TimeSpan.Zero));
        retention.Keep.Skip(1).ShouldBe([new("0 * * * *", null, 24), new("0 0 * * *", null, 7), new("0 0 * * MON", null, 4), new("0 0 1 * *", null, 12), new("0 0 1 1 *", null, 3)]);
    }

    [Fact]
    public void Hooks_are_read_and_hold_nothing_more_unless_told_so()
    {
        QuiescePolicy quiesce = With(""" "rules": [{ "volume": "v", "quiesce": { "before": ["sh", "-c", ""], "after": ["true"], "timeout": "2m" } }] """).Rules[0].Quiesce!;
        (quiesce.Auto, quiesce.Then, quiesce.HookTimeout).ShouldBe((false, QuiesceMode.None, TimeSpan.FromMinutes(2)));
        quiesce.Before.ShouldBe(["sh", "-c", ""]);
        quiesce.After.ShouldBe(["true"]);
        With(""" "quiesce": { "before": ["x"], "then": "pause" } """).Default.Quiesce.Then.ShouldBe(QuiesceMode.Pause);
    }

    [Fact]
    public void A_missing_file_says_how_to_make_one()
    {
        var e = Should.Throw<BackupException>(() => PolicyFile.Load("/nonexistent/backup.json"));
        (e.Kind, e.Problem).ShouldBe((FailureKind.Usage, "there is no policy file /nonexistent/backup.json"));
        e.Hint.ShouldContain("backup init");
        Should.Throw<BackupException>(() => PolicyFile.Load("/etc")).Problem.ShouldContain("it is a directory");
    }

    [Fact]
    public void A_connection_through_an_agent_is_read_with_its_usual_port()
    {
        One("""{ "connect": { "type": "portainer-agent", "url": "https://10.0.0.2", "secret": "env:S" } }""").Connect
            .ShouldBe(new PortainerAgentConnectPolicy(new Uri("https://10.0.0.2:9001/"), new Secret("env:S", "$.environments.e.connect.secret"), null, false, TransferLimits.None));
        var own = One("""{ "connect": { "type": "portainer-agent", "url": "https://a:443", "key": "file:portainer.key", "limits": { "upload": "100s", "download": "25m" } } }""")
            .Connect.ShouldBeOfType<PortainerAgentConnectPolicy>();
        own.Url.ShouldBe(new Uri("https://a:443"));
        own.Key!.Reference.ShouldBe("file:/etc/backup/portainer.key");
        own.Limits.ShouldBe(new TransferLimits(TimeSpan.FromSeconds(100), TimeSpan.FromMinutes(25)));
        own.Secrets.ShouldBe([own.Key]);
    }

    [Fact]
    public void A_connection_through_a_server_is_read_with_its_environment_by_name_or_number()
    {
        var one = One("""{ "connect": { "type": "portainer", "url": "https://p.example.com/portainer", "apiKey": "env:K", "environment": "prod db", "tls": { "ca": "p.pem" } } }""")
            .Connect.ShouldBeOfType<PortainerConnectPolicy>();
        one.ShouldBe(new PortainerConnectPolicy(
            new Uri("https://p.example.com/portainer"), new Secret("env:K", "$.environments.e.connect.apiKey"), "prod db", "/etc/backup/p.pem", TransferLimits.None));
        one.Secrets.ShouldBe([one.ApiKey]);
        One("""{ "connect": { "type": "portainer", "url": "http://p:9000", "apiKey": "env:K", "environment": 7 } }""")
            .Connect.ShouldBeOfType<PortainerConnectPolicy>().Environment.ShouldBe("7");
    }

    [Fact]
    public void All_environments_of_a_Portainer_are_one_entry_with_overrides_over_its_own_settings()
    {
        EnvironmentPolicy all = One("""
            {
              "connect": { "type": "portainer", "url": "https://p", "apiKey": "env:K", "environment": "*" }, "quiesce": "pause", "compression": { "level": 5 },
              "rules": [{ "volume": "a", "quiesce": "none" }],
              "overrides": { "prod db": { "quiesce": "stop", "volumes": { "include": ["x"] }, "rules": [{ "volume": "b", "quiesce": "pause" }] } }
            }
            """);
        all.IsTemplate.ShouldBeTrue();
        EnvironmentPolicy different = all.Overrides.ShouldHaveSingleItem().Value;
        all.Overrides.Keys.ShouldBe(["prod db"]);
        (different.Default.Quiesce, different.Default.CompressionLevel).ShouldBe((QuiescePolicy.Of(QuiesceMode.Stop), 5));
        different.Volumes.Include.ShouldBe(["x"]);
        different.Rules.Select(r => r.Volume).ShouldBe(["b", "a"]);
    }

    [Fact]
    public void Overrides_go_with_all_environments_only_and_have_no_schedule_or_connection_of_their_own()
    {
        Wrong(() => With("\"overrides\": {}")).Problem.ShouldContain("no meaning for a single environment");
        foreach (string key in new[] { "schedule", "timeZone", "connect", "overrides" })
            Wrong(() => One($$$"""{ "connect": { "type": "portainer", "url": "https://p", "apiKey": "env:K", "environment": "*" }, "overrides": { "x": { "{{{key}}}": null } } }"""))
                .JsonPath.ShouldBe($"$.environments.e.overrides.x.{key}");
        PolicyProblem late = Wrong(() => One("""
            { "connect": { "type": "portainer", "url": "https://p", "apiKey": "env:K", "environment": "*" }, "overrides": { "prod db": { "schedule": "0 5 * * *" } } }
            """));
        late.Problem.ShouldContain("one timer runs all its environments");
        late.Hint.ShouldContain("an entry of its own");
        late.Hint.ShouldContain("\"environment\": \"prod db\"");
    }

    [Fact]
    public void A_mutilated_policy_never_crashes_the_parser()
    {
        string good = File.ReadAllText(ExamplePolicyTests.Example);
        var chance = new Random(5);
        int refused = 0;
        for (int i = 0; i < 1500; i++)
        {
            string bad = good;
            for (int cut = chance.Next(1, 4); cut > 0; cut--)
            {
                int at = chance.Next(bad.Length), length = Math.Min(chance.Next(12), bad.Length - at);
                bad = bad.Remove(at, length).Insert(at, new[] { "", "7", "\"x\"", "null", "{", "]", "-1", "\\ud800", ":" }[chance.Next(9)]);
            }
            try
            {
                Parse(bad);
            }
            catch (PolicyException e)
            {
                refused++;
                e.Problems.ShouldAllBe(p => p.Problem.Length > 0 && p.Hint.Length > 0);
            }
        }
        refused.ShouldBeGreaterThan(500);
    }

    [Fact]
    public void Groups_and_limits_are_read_and_a_rule_goes_before_the_environment_and_that_before_the_defaults()
    {
        EnvironmentPolicy e = Parse("""
            { "stores": { "disk": { "type": "directory", "path": "/b" } },
              "defaults": { "maxDowntime": "1m", "healthTimeout": "10s" },
              "environments": { "e": {
                "connect": "unix:///s", "whenExceeded": "keep", "warmUp": false, "grouping": "volume", "groups": { "shop": ["db*", "bind:/srv"], "rest": ["*"] },
                "rules": [ { "volume": "db*", "maxDowntime": "none" }, { "volume": "db_main", "maxDowntime": "5s", "whenExceeded": "fail", "warmUp": true }, { "volume": "x", "healthTimeout": "0s" } ] } } }
            """).Environments.Single();
        e.Grouping.ShouldBe(VolumeGrouping.Volume);
        e.Groups.Select(g => $"{g.Name}: {string.Join(' ', g.Volumes)}").ShouldBe(["shop: db* bind:/srv", "rest: *"]);
        DowntimePolicy Of(string volume) => e.For(Backup.Environments.SourceRef.Volume(volume)).Downtime;
        Of("other").ShouldBe(new DowntimePolicy(TimeSpan.FromMinutes(1), true, TimeSpan.FromSeconds(10)) { WarmUp = false });
        Of("db_main").ShouldBe(new DowntimePolicy(null, false, TimeSpan.FromSeconds(10)), "the first rule that says something wins, value by value");
        Of("x").ShouldBe(new DowntimePolicy(TimeSpan.FromMinutes(1), true, TimeSpan.Zero) { WarmUp = false });
    }
}
