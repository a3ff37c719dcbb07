namespace Backup.Environments;

/// <summary>One engine of a Swarm, as its managers know it.</summary>
/// <param name="Id">Of the node, not of its engine: an agent tells that of a manager for each.</param>
/// <param name="Name">Its host's name, by which agents address it.</param>
/// <param name="EngineVersion">Such as 20.10.24.</param>
internal sealed record SwarmNode(string Id, string Name, string EngineVersion, string OperatingSystem, string Architecture);
