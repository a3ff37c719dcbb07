using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;

// Portainer's parts as small programs, for what is tried by hand or from a script. Each prints its URL and runs until it is killed.
//   agent SOCKET [--address A] [--port N] [--secret S] [--version V] [--upload SECONDS] [--download SECONDS]
//   server SOCKET [--port N] [--key K]      in the clear, with one environment "shop" behind an agent; the key is an administrator's
//   swarm SOCKET,SOCKET… [--port N] [--secret S]   the agents of a Swarm: m1, a manager, whose URL it is, and w2, w3…; w0 is a node without one
//   sign [--secret S]                       prints the two headers of a signed request, for curl -H @FILE
const string Usage = "usage: agent SOCKET [--address A] [--port N] [--secret S] [--version V] [--upload SECONDS] [--download SECONDS] | server SOCKET [--port N] [--key K] | swarm SOCKET,SOCKET… [--port N] [--secret S] | sign [--secret S]";
string? Option(string name) => Array.IndexOf(args, name) is var at and > 0 && at + 1 < args.Length ? args[at + 1] : null;
TimeSpan? Seconds(string name) => Option(name) is { } text ? TimeSpan.FromSeconds(double.Parse(text, CultureInfo.InvariantCulture)) : null;
if (args is ["sign", ..])
{
    using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    (string publicKey, string signature) = Signatures.Sign(key, Option("--secret"));
    Console.WriteLine($"{Signatures.PublicKeyHeader}: {publicKey}\n{Signatures.SignatureHeader}: {signature}");
    return 0;
}
if (args is not ["agent" or "server" or "swarm", var socket, ..])
{
    Console.Error.WriteLine(Usage);
    return 2;
}
int port = int.Parse(Option("--port") ?? "0", CultureInfo.InvariantCulture);

if (args[0] == "swarm")
{
    var cluster = new AgentCluster();
    cluster.Add(new ClusterNode("w0id", "w0"));
    var agents = new List<StrictAgent>();
    foreach (string engine in socket.Split(','))
        agents.Add(await StrictAgent.StartAsync(new AgentSettings(engine)
        {
            NodeName = agents.Count == 0 ? "m1" : $"w{agents.Count + 1}", Manager = agents.Count == 0, Cluster = cluster, Secret = Option("--secret"), Port = agents.Count == 0 ? port : 0,
        }));
    Console.WriteLine(agents[0].Url);
    await agents[0].ToldToEndAsync();
    return 0;
}
await using StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(socket)
{
    Address = IPAddress.Parse(Option("--address") ?? "127.0.0.1"),
    Port = args[0] == "agent" ? port : 0,
    Secret = Option("--secret"),
    Version = Option("--version") ?? "2.23.0",
    UploadLimit = Seconds("--upload") ?? AgentSettings.RealUploadLimit,
    DownloadLimit = Seconds("--download") ?? AgentSettings.RealDownloadLimit,
});
if (args[0] == "agent")
{
    Console.WriteLine(agent.Url);
    await agent.ToldToEndAsync();
    return 0;
}
await using StrictServer server = await StrictServer.StartAsync(new ServerSettings
{
    Port = port,
    Https = false,
    Users = [new ServerUser(Option("--key") ?? ServerSettings.AdministratorKey, 1, Administrator: true)],
    Environments = [new ServerEnvironment(1, "shop", EnvironmentType.Agent, agent.Url)],
});
Console.WriteLine(server.Url);
// Told while it was starting, only the first of the two heard it.
await Task.WhenAny(agent.ToldToEndAsync(), server.ToldToEndAsync());
return 0;
