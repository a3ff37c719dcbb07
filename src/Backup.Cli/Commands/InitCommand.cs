using System.CommandLine;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class InitCommand
{
    public static Command Create(Runner runner)
    {
        var connect = new Option<string?>("--connect")
        {
            Description = "The engine: unix:///path, tcp://host:port or ssh://user@host, portainer:https://… for all environments of a Portainer, "
                + "portainer-agent:https://…; else $DOCKER_HOST, else unix:///var/run/docker.sock",
            HelpName = "URI",
        };
        var file = new Option<string?>("--output", "-o")
        {
            Description = "Where the policy goes, - for stdout; ./backup.json when not given. An existing file is never overwritten",
            HelpName = "FILE",
        };
        var key = new Option<string>("--api-key")
        {
            Description = "Where the API key for portainer: is: env:NAME, file:PATH or cred:NAME",
            HelpName = "SECRET",
            DefaultValueFactory = _ => "env:PORTAINER_API_KEY",
        };
        var ca = new Option<string?>("--ca") { Description = "Whom to trust for portainer: a PEM file", HelpName = "FILE" };
        var secret = new Option<string?>("--secret") { Description = "Where the AGENT_SECRET for portainer-agent: is; env:AGENT_SECRET when that is set", HelpName = "SECRET" };
        var command = new Verb("init", "Write a policy for what runs on an engine")
        {
            Options = { connect, key, ca, secret, file },
            Examples =
            [
                ("backup init", "for the engine of this host, into ./backup.json"),
                ("backup init --connect tcp://10.0.0.3:2376 -o -", "another engine, to look at"),
                ("backup init --connect portainer:https://portainer.example.com", "every environment of a Portainer"),
            ],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            string url = parse.GetValue(connect) ?? session.Surroundings.Variable("DOCKER_HOST") ?? "unix:///var/run/docker.sock";
            string agentSecret = parse.GetValue(secret) ?? (session.Surroundings.Variable("AGENT_SECRET") is null ? "" : "env:AGENT_SECRET");
            IReadOnlyList<TemplateEnvironment> found = await FoundAsync(session, ConnectionText(url, parse.GetRequiredValue(key), parse.GetValue(ca), agentSecret), cancel);
            string text = PolicyTemplate.Write(found);
            await Destination.WriteAsync(parse.GetValue(file) ?? "backup.json", text, session, cancel);
            return ExitCode.Done;
        }));
        return command;
    }

    /// <summary>The connection as a policy writes it, in JSON.</summary>
    private static string ConnectionText(string url, string key, string? ca, string secret)
    {
        const string Server = "portainer:", Agent = "portainer-agent:";
        string Quoted(string text) => PolicyTemplate.Quote(text);
        if (url.StartsWith(Server, StringComparison.Ordinal))
            return $$"""{ "type": "portainer", "url": {{Quoted(url[Server.Length..])}}, "apiKey": {{Quoted(key)}}, "environment": "*"{{(ca is null ? "" : $", \"tls\": {{ \"ca\": {Quoted(Path.GetFullPath(ca))} }}")}} }""";
        if (url.StartsWith(Agent, StringComparison.Ordinal))
            return $$"""{ "type": "portainer-agent", "url": {{Quoted(url[Agent.Length..])}}{{(secret.Length == 0 ? "" : $", \"secret\": {Quoted(secret)}")}} }""";
        return Quoted(url);
    }

    /// <summary>What is there now: one engine, every node of a Swarm, or every environment of a Portainer.</summary>
    private static async Task<IReadOnlyList<TemplateEnvironment>> FoundAsync(Session session, string connection, CancellationToken cancel)
    {
        ConnectPolicy connect = PolicyTemplate.Connect(connection);
        if (connect is not PortainerConnectPolicy all) return [await LookAsync(session, "local", connect, connection, mayFail: false, cancel)];
        var found = new List<TemplateEnvironment>();
        IReadOnlyList<ListedEnvironment> there = await session.Wiring.Listing("portainer", all, session.Context, cancel);
        foreach (FoundEnvironment listed in TemplateExpansion.Name("portainer", all, there, session.Context))
        {
            // By its name there, which tells more than a number.
            string own = connection.Replace("\"environment\": \"*\"", $"\"environment\": {PolicyTemplate.Quote(listed.PortainerName)}", StringComparison.Ordinal);
            found.Add(await LookAsync(session, listed.Name, all with { Environment = listed.PortainerId }, own, mayFail: true, cancel));
        }
        return found;
    }

    /// <param name="mayFail">Others are worth a policy without it.</param>
    private static async Task<TemplateEnvironment> LookAsync(Session session, string name, ConnectPolicy connect, string text, bool mayFail, CancellationToken cancel)
    {
        var entry = new EnvironmentPolicy(name, connect, VolumePatterns.All, null, new VolumePolicy("", QuiescePolicy.Default, 0, null, TimeZoneInfo.Utc), []);
        IReadOnlyList<EnvironmentPolicy> several = entry.MayBeSeveral ? await session.Wiring.NodesAsync(entry, [], session.StateDirectory, session.Context, cancel) : [entry];
        var nodes = new List<TemplateNode>();
        foreach (EnvironmentPolicy one in several)
        {
            await using IEnvironment environment = session.Wiring.Environment(one.Name, one.Connect, session.StateDirectory, session.Context);
            try
            {
                nodes.Add(new TemplateNode(one.Name, await environment.InspectAsync(cancel)));
            }
            catch (EnvironmentException e) when (mayFail || several.Count > 1)
            {
                nodes.Add(new TemplateNode(one.Name, null, e.Problem));
            }
        }
        return new TemplateEnvironment(name, text, nodes) { IsSwarm = several.Any(e => e.Swarm is not null) };
    }
}
