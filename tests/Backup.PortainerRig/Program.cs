using System.Globalization;
using Backup.PortainerRig.Agent;

// Portainer's parts as small programs, for what is tried by hand or from a script. Each prints its URL and runs until it is killed.
//   agent SOCKET [--port N] [--secret S] [--version V] [--upload SECONDS] [--download SECONDS]
if (args is not ["agent", var socket, ..])
{
    Console.Error.WriteLine("usage: agent SOCKET [--port N] [--secret S] [--version V] [--upload SECONDS] [--download SECONDS]");
    return 2;
}
string? Option(string name) => Array.IndexOf(args, name) is var at and > 0 && at + 1 < args.Length ? args[at + 1] : null;
TimeSpan? Seconds(string name) => Option(name) is { } text ? TimeSpan.FromSeconds(double.Parse(text, CultureInfo.InvariantCulture)) : null;

await using StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(socket)
{
    Port = int.Parse(Option("--port") ?? "0", CultureInfo.InvariantCulture),
    Secret = Option("--secret"),
    Version = Option("--version") ?? "2.23.0",
    UploadLimit = Seconds("--upload") ?? AgentSettings.RealUploadLimit,
    DownloadLimit = Seconds("--download") ?? AgentSettings.RealDownloadLimit,
});
Console.WriteLine(agent.Url);
await Task.Delay(Timeout.Infinite);
return 0;
