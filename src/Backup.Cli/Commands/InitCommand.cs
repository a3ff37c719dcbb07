using System.CommandLine;
using Backup.Environments;
using Backup.Policies;

namespace Backup.Cli.Commands;

internal static class InitCommand
{
    public static Command Create(Runner runner)
    {
        var connect = new Option<string?>("--connect")
        {
            Description = "The engine: unix:///path, tcp://host:port or ssh://user@host; else $DOCKER_HOST, else unix:///var/run/docker.sock",
            HelpName = "URI",
        };
        var file = new Option<string?>("--output", "-o")
        {
            Description = "Where the policy goes, - for stdout; ./backup.json when not given. An existing file is never overwritten",
            HelpName = "FILE",
        };
        var command = new Verb("init", "Write a policy for what runs on an engine")
        {
            Options = { connect, file },
            Examples =
            [
                ("backup init", "for the engine of this host, into ./backup.json"),
                ("backup init --connect tcp://10.0.0.3:2376 -o -", "another engine, to look at"),
            ],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            string url = parse.GetValue(connect) ?? session.Surroundings.Variable("DOCKER_HOST") ?? "unix:///var/run/docker.sock";
            DockerConnectPolicy policy = PolicyTemplate.Connect(url);
            await using IEnvironment environment = session.Wiring.Environment("local", policy, session.StateDirectory, session.Context);
            string text = PolicyTemplate.Write(policy, await environment.InspectAsync(cancel));
            await Destination.WriteAsync(parse.GetValue(file) ?? "backup.json", text, session, cancel);
            return ExitCode.Done;
        }));
        return command;
    }
}
