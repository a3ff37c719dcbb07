using System.Globalization;
using Backup.Environments;
using Backup.Tests.Environments;

namespace Backup.Tests.Fakes;

/// <summary>One call of an environment, counted from 1.</summary>
/// <param name="Operation">inspect, find, list, pause, unpause, stop, start, findService, scale, prepareExec, exec, execRuns, openExec, load, prepare, open, exists, isEmpty, createVolume, planEmpty, empty, fill, removeHelpers, removeHelper.</param>
/// <param name="Subject">The container's or service's id, or the source.</param>
public sealed record EnvironmentCall(int Number, string Operation, string Subject);

/// <summary>What goes wrong with one call.</summary>
public abstract record EnvironmentFault
{
    /// <summary>The call fails and does nothing.</summary>
    public sealed record Before(Exception Error) : EnvironmentFault;

    /// <summary>The call does its work and then fails: the answer was lost.</summary>
    public sealed record After(Exception Error) : EnvironmentFault;

    /// <summary>For open and openExec: a clean end of the stream after so many bytes; for openExec with exit code 0.</summary>
    public sealed record EndsEarly(long Bytes) : EnvironmentFault;

    /// <summary>For open and openExec: the stream breaks after so many bytes.</summary>
    public sealed record Breaks(long Bytes, Exception Error) : EnvironmentFault;

    /// <summary>For open: nothing comes until this is done.</summary>
    public sealed record Stalls(Task Until) : EnvironmentFault;
}

/// <summary>A service of the swarm that a fake engine is a node of.</summary>
public sealed record FakeService(string Name, ServiceMode Mode, long Replicas, IReadOnlyDictionary<string, string> Labels, IReadOnlyList<string> Mounts)
{
    public bool Updating { get; init; }
    public bool Constrained { get; init; }
}

/// <summary>What a command writes to standard output, and how it ends.</summary>
public sealed record FakeOutput(byte[] Bytes, int ExitCode = 0, string Error = "");

/// <summary>
/// A strict engine in memory. It refuses what an engine refuses (pausing what does not run, commands in what is paused, filling what is not there),
/// starts another task of a service where one was stopped behind its back, keeps volumes as tar entries, counts its live helpers, and fails where <see cref="Fault"/> says so. Its state outlives <see cref="DisposeAsync"/>,
/// so that a test can go on after its "process" died.
/// </summary>
public sealed class FakeEnvironment(string name, RunContext context) : IEnvironment
{
    private readonly Lock _lock = new();
    private readonly Dictionary<SourceRef, FakeSource> _sources = [];
    private readonly Dictionary<string, ContainerFacts> _containers = [];
    private readonly Dictionary<string, FakeService> _services = [];
    private readonly Dictionary<string, (string RunId, SourceRef Source)> _helpers = [];
    private readonly List<EnvironmentCall> _calls = [];
    private readonly Dictionary<string, Task> _execs = [];
    private readonly List<ContainerAction> _actions = [];
    private int _starts;

    public string Name => name;

    /// <summary>Asked before every call; null = all goes well. May also throw by itself.</summary>
    public Func<EnvironmentCall, EnvironmentFault?>? Fault { get; set; }

    /// <summary>Answers exec in a running container; the default is success without output.</summary>
    public Func<ContainerFacts, IReadOnlyList<string>, ExecResult> OnExec { get; set; } = (_, _) => new ExecResult(0, "", "");

    /// <summary>What a command writes to standard output as a stream, and how it ends; by default it writes nothing.</summary>
    public Func<ContainerFacts, IReadOnlyList<string>, FakeOutput> OnOpenExec { get; set; } = (_, _) => new FakeOutput([]);

    /// <summary>Answers a command that was given all of its input.</summary>
    public Func<ContainerFacts, IReadOnlyList<string>, byte[], ExecResult> OnLoad { get; set; } = (_, _, _) => new ExecResult(0, "", "");

    /// <summary>A command goes on until this is done, also when its caller, cancelled, no longer listens.</summary>
    public Func<ContainerFacts, IReadOnlyList<string>, Task> ExecGoesOn { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>A pause, stop, … takes until this is done; the verb in lower case.</summary>
    public Func<string, ContainerFacts, Task> ActGoesOn { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>What the health check of a running container says now; by default what it said last. A start makes it "starting".</summary>
    public Func<ContainerFacts, string?> HealthOf { get; set; } = c => c.Health;

    /// <summary>How many tasks of a service come up when it has this count from now on; by default all of them. They run at once, and are healthy.</summary>
    public Func<string, long, long> TasksThatStart { get; set; } = (_, replicas) => replicas;

    /// <summary>How many nodes the swarm has that services are tasks of.</summary>
    public int SwarmNodes { get; set; } = 1;

    /// <summary>Off: this node is a worker, which cannot see services.</summary>
    public bool SwarmManager { get; set; } = true;

    /// <summary>An image with a shell and rm is on the host.</summary>
    public bool HasShellImage { get; set; }

    /// <summary>The engine claims to be on this host.</summary>
    public bool Local { get; set; }

    public EngineFacts Engine { get; set; } = new("FAKE:ID", "fakehost", "20.10.24", "1.41", "Fake Linux", "x86_64");

    /// <summary>Every call so far, also those that failed.</summary>
    public IReadOnlyList<EnvironmentCall> Calls { get { lock (_lock) return [.. _calls]; } }

    /// <summary>The pauses, stops, … that were carried out (also when they changed nothing), in order.</summary>
    public IReadOnlyList<ContainerAction> Actions { get { lock (_lock) return [.. _actions]; } }

    public int LiveHelpers { get { lock (_lock) return _helpers.Count; } }

    public IReadOnlyList<ContainerFacts> Containers { get { lock (_lock) return [.. _containers.Values]; } }

    // ---- set-up by tests

    public FakeEnvironment AddVolume(string volume, params TarItem[] items) =>
        AddVolume(new VolumeFacts(volume, "local", new Dictionary<string, string>(), new Dictionary<string, string>(), "local", false), items);

    public FakeEnvironment AddVolume(VolumeFacts facts, params TarItem[] items) => Add(SourceRef.Volume(facts.Name), facts, items);

    public FakeEnvironment AddBind(string path, params TarItem[] items) => Add(SourceRef.Bind(path), null, items);

    /// <summary>A container. Mounts are <c>source:destination[:ro]</c>, the source a volume's name or an absolute path.</summary>
    public ContainerFacts AddContainer(string containerName, string state = "running", IReadOnlyDictionary<string, string>? labels = null, bool autoRemove = false, params string[] mounts)
    {
        lock (_lock)
        {
            var facts = new ContainerFacts(
                context.NewId() + context.NewId(), containerName, "fake/" + containerName + ":1", "sha256:" + new string('f', 64), null, state,
                state is "created" ? "0001-01-01T00:00:00Z" : NextStart(), autoRemove, 0, labels ?? new Dictionary<string, string>(), [.. mounts.Select(Mount)]);
            _containers.Add(facts.Id, facts);
            return facts;
        }
    }

    /// <summary>A service of a swarm, with its tasks. Mounts and labels are theirs. Returns its id.</summary>
    public string AddService(string serviceName, long replicas, IReadOnlyDictionary<string, string>? labels = null, ServiceMode mode = ServiceMode.Replicated, params string[] mounts)
    {
        lock (_lock)
        {
            string id = context.NewId()[..25];
            _services.Add(id, new FakeService(serviceName, mode, mode == ServiceMode.Replicated ? replicas : 0, labels ?? new Dictionary<string, string>(), mounts));
            for (int i = 0; i < replicas; i++) AddTask(id);
            return id;
        }
    }

    /// <summary>Somebody changes a service from outside, without a call; null removes it.</summary>
    public void Meddle(string serviceId, Func<FakeService, FakeService?> change)
    {
        lock (_lock)
        {
            FakeService old = _services[serviceId];
            _services.Remove(serviceId);
            if (change(old) is not { } now)
            {
                RemoveTasks(serviceId);
                return;
            }
            _services.Add(serviceId, now);
            if (now.Replicas != old.Replicas) Reconcile(serviceId);
        }
    }

    public FakeService Service(string id)
    {
        lock (_lock) return _services[id];
    }

    public IReadOnlyList<ContainerFacts> Tasks(string serviceId)
    {
        lock (_lock) return [.. _containers.Values.Where(c => c.ServiceId == serviceId)];
    }

    /// <summary>Somebody acts from outside, without a call: changes state, removes (null), recreates under a new id.</summary>
    public void Meddle(string id, Func<ContainerFacts, ContainerFacts?> change)
    {
        lock (_lock)
        {
            ContainerFacts old = _containers[id];
            _containers.Remove(id);
            if (change(old) is { } facts) _containers.Add(facts.Id, facts);
        }
    }

    /// <summary>As compose does it: a new container of the same name and labels, running.</summary>
    public ContainerFacts Recreate(string id)
    {
        ContainerFacts? made = null;
        Meddle(id, old => made = old with { Id = context.NewId() + context.NewId(), State = "running", StartedAt = NextStart() });
        return made!;
    }

    public void RemoveVolume(string volume)
    {
        lock (_lock) _sources.Remove(SourceRef.Volume(volume));
    }

    public ContainerFacts Container(string id)
    {
        lock (_lock) return _containers[id];
    }

    /// <summary>The content now, root included; throws when the source is not there.</summary>
    public IReadOnlyList<TarItem> Content(SourceRef source)
    {
        lock (_lock) return RawTar.Parse(_sources[source].Tar());
    }

    // ---- IEnvironment

    public Task<Inventory> InspectAsync(CancellationToken cancel) => Do("inspect", "", cancel, () =>
        new Inventory(Engine, [.. _sources.Values.Select(s => s.Facts).OfType<VolumeFacts>().OrderBy(v => v.Name, StringComparer.Ordinal)],
            [.. _containers.Values.ToArray().Select(Known).Concat(_helpers.Select(HelperFacts)).OrderBy(c => c.Name, StringComparer.Ordinal)])
        {
            Local = Local,
            Swarm = !_containers.Values.Any(c => c.SwarmTask) ? null
                : SwarmManager ? new SwarmFacts(SwarmNodes, [.. _services.Select(s => Facts(s.Key, s.Value))]) : new SwarmFacts(null, [], "this node is not a manager of the swarm"),
        });

    public Task<ContainerFacts?> FindContainerAsync(string idOrName, CancellationToken cancel) => Do("find", idOrName, cancel, () => Find(idOrName) is { } now ? Known(now) : null);

    public Task<IReadOnlyList<ContainerSight>> ListContainersAsync(CancellationToken cancel) => Do<IReadOnlyList<ContainerSight>>("list", "", cancel, () =>
        [.. _containers.Values.Concat(_helpers.Select(HelperFacts)).Select(c => new ContainerSight(c.Id, c.Name, c.State, c.Labels, c.Mounts))]);

    public async Task ActAsync(ContainerAction action, CancellationToken cancel)
    {
        string verb = action.Verb.ToString().ToLowerInvariant();
        ContainerFacts container = await Do(verb, action.ContainerId, cancel, () => Act(action));
        await ActGoesOn(verb, container).WaitAsync(cancel);
    }

    private ContainerFacts Act(ContainerAction action)
    {
        ContainerFacts now = Find(action.ContainerId) ?? throw NotFound($"No such container: {action.ContainerId}");
        ContainerFacts? next = (action.Verb, now.State) switch
        {
            (ContainerVerb.Pause, "running") => now with { State = "paused" },
            (ContainerVerb.Pause, "paused") => now,
            (ContainerVerb.Pause, _) => throw Refused($"Container {now.Name} is not running"),
            (ContainerVerb.Unpause, "paused") => now with { State = "running" },
            (ContainerVerb.Unpause, _) => now,
            (ContainerVerb.Stop, "running" or "restarting") => now.AutoRemove ? null : now with { State = "exited" },
            (ContainerVerb.Stop, "paused") => throw Refused($"Container {now.Name} is paused. Unpause the container before stopping"),
            (ContainerVerb.Stop, _) => now,
            (ContainerVerb.Start, "created" or "exited") => now with { State = "running", StartedAt = NextStart(), Health = now.Health is null ? null : "starting" },
            (ContainerVerb.Start, "running") => now,
            (ContainerVerb.Start, _) => throw Refused($"cannot start a {now.State} container"),
            _ => throw new ArgumentOutOfRangeException(nameof(action)),
        };
        if (next is null) _containers.Remove(now.Id);
        else _containers[now.Id] = next;
        if (action.Verb == ContainerVerb.Stop && now.Running && now.ServiceId is { } service && _services.ContainsKey(service)) AddTask(service);
        _actions.Add(action with { ContainerId = now.Id });
        return next ?? now;
    }

    public Task<ServiceFacts?> FindServiceAsync(string id, CancellationToken cancel) => Do("findService", id, cancel, () =>
        !SwarmManager ? throw Refused("This node is not a swarm manager.") : _services.TryGetValue(id, out FakeService? found) ? Facts(id, found) : null);

    public Task<bool> ScaleAsync(string serviceId, long from, long to, CancellationToken cancel) => Do("scale", serviceId, cancel, () =>
    {
        if (!SwarmManager) throw Refused("This node is not a swarm manager.");
        if (!_services.TryGetValue(serviceId, out FakeService? now)) throw NotFound($"there is no service {serviceId}");
        if (now.Mode != ServiceMode.Replicated) throw Refused($"the service {now.Name} has no count of tasks");
        if (now.Replicas != from) return false;
        _services[serviceId] = now with { Replicas = to };
        Reconcile(serviceId);
        return true;
    });

    public Task<IPreparedExec> PrepareExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel) =>
        Do<IPreparedExec>("prepareExec", containerId, cancel, () => new Prepared(this, Commanded(containerId), context.NewId(), command));

    public Task<bool> ExecRunsAsync(string execId, CancellationToken cancel) =>
        Do("execRuns", execId, cancel, () => _execs.TryGetValue(execId, out Task? exec) && !exec.IsCompleted);

    public Task<Stream> OpenExecAsync(string containerId, IReadOnlyList<string> command, CancellationToken cancel) => Do<Stream>("openExec", containerId, cancel, fault =>
    {
        ContainerFacts now = Commanded(containerId);
        FakeOutput output = OnOpenExec(now, command);
        EnvironmentException? end = output.ExitCode == 0 ? null : Ended(now, output.ExitCode, output.Error);
        return fault switch
        {
            EnvironmentFault.After after => throw after.Error,
            EnvironmentFault.EndsEarly early => new FaultyStream(output.Bytes, early.Bytes, null),
            EnvironmentFault.Breaks breaks => new FaultyStream(output.Bytes, breaks.Bytes, breaks.Error),
            _ => new FaultyStream(output.Bytes, output.Bytes.Length, end),
        };
    });

    public async Task<ExecResult> LoadAsync(
        string containerId, IReadOnlyList<string> command, long length, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        (ContainerFacts container, EnvironmentFault? fault) = await Do("load", containerId, cancel, f => (Commanded(containerId), f));
        using var input = new MemoryStream();
        await write(input, cancel);
        cancel.ThrowIfCancellationRequested();
        if (input.Length != length) throw new InvalidDataException($"{input.Length} bytes instead of the {length} that were announced");
        ExecResult result = OnLoad(container, command, input.ToArray());
        if (fault is EnvironmentFault.After after) throw after.Error;
        return result.ExitCode == 0 ? result : throw Ended(container, result.ExitCode, result.Error);
    }

    public Task<ISourceHandle> PrepareSourceAsync(SourceRef source, string runId, CancellationToken cancel) => Do<ISourceHandle>("prepare", source.ToString(), cancel, () =>
    {
        _ = Source(source);
        string helper = context.NewId();
        _helpers.Add(helper, (runId, source));
        return new Handle(this, source, helper);
    });

    public Task<bool> ExistsAsync(SourceRef source, string runId, CancellationToken cancel) => source.Kind == SourceKind.Volume
        ? Do("exists", source.ToString(), cancel, () => _sources.ContainsKey(source))
        : ProbeAsync("exists", source, runId, cancel, () => _sources.ContainsKey(source));

    public Task<bool> IsEmptyAsync(SourceRef source, string runId, CancellationToken cancel) =>
        ProbeAsync("isEmpty", source, runId, cancel, () => Source(source).IsEmpty);

    public Task CreateVolumeAsync(VolumeFacts volume, CancellationToken cancel) => Do("createVolume", volume.Name, cancel, () =>
        _sources.TryAdd(SourceRef.Volume(volume.Name), new FakeSource(volume)) ? true : throw Refused($"volume {volume.Name} exists already"));

    public Task<string> PlanEmptyAsync(SourceRef target, string runId, CancellationToken cancel) =>
        ProbeAsync("planEmpty", target, runId, cancel, () => PlanEmpty(target));

    public Task EmptyAsync(SourceRef target, string runId, CancellationToken cancel) => Do("empty", target.ToString(), cancel, () =>
    {
        _ = PlanEmpty(target);
        Source(target).Clear();
        return true;
    });

    public async Task FillAsync(SourceRef target, string runId, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        string helper = context.NewId();
        EnvironmentFault? fault = await Do("fill", target.ToString(), cancel, f =>
        {
            if (target.Kind == SourceKind.Bind) _sources.TryAdd(target, new FakeSource(null));
            _ = Source(target);
            _helpers.Add(helper, (runId, target));
            return f;
        });
        try
        {
            using var tar = new MemoryStream();
            await write(tar, cancel);
            cancel.ThrowIfCancellationRequested();
            lock (_lock) Source(target).Merge(tar.ToArray());
        }
        finally
        {
            RemoveHelper(helper, target);
        }
        if (fault is EnvironmentFault.After after) throw after.Error;
    }

    public Task<int> RemoveHelpersAsync(string? runId, CancellationToken cancel) => Do("removeHelpers", runId ?? "", cancel, () =>
    {
        string[] gone = [.. _helpers.Where(h => runId is null || h.Value.RunId == runId).Select(h => h.Key)];
        foreach (string helper in gone) _helpers.Remove(helper);
        return gone.Length;
    });

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    // ---- inside

    private Task<T> Do<T>(string operation, string subject, CancellationToken cancel, Func<T> work) => Do(operation, subject, cancel, fault =>
    {
        T result = work();
        return fault is EnvironmentFault.After after ? throw after.Error : result;
    });

    /// <summary>Looks into a source through a helper, which is there from the look to its removal, or for ever when the process dies between.</summary>
    private async Task<T> ProbeAsync<T>(string operation, SourceRef source, string runId, CancellationToken cancel, Func<T> look)
    {
        string helper = context.NewId();
        try
        {
            return await Do(operation, source.ToString(), cancel, () =>
            {
                T seen = look();
                if (_sources.ContainsKey(source)) _helpers.Add(helper, (runId, source));
                return seen;
            });
        }
        finally
        {
            RemoveHelper(helper, source);
        }
    }

    /// <summary>Removal never throws: a fault leaves the helper where it is, as a lost engine would.</summary>
    private void RemoveHelper(string helper, SourceRef source)
    {
        lock (_lock)
            if (!_helpers.ContainsKey(helper)) return;
        EnvironmentFault? fault = Ask("removeHelper", source.ToString());
        if (fault is EnvironmentFault.Before) return;
        lock (_lock) _helpers.Remove(helper);
    }

    private async Task<T> Do<T>(string operation, string subject, CancellationToken cancel, Func<EnvironmentFault?, T> work)
    {
        // Never synchronously: what only works when nothing really waits must not pass.
        await Task.Yield();
        cancel.ThrowIfCancellationRequested();
        EnvironmentFault? fault = Ask(operation, subject);
        if (fault is EnvironmentFault.Before before) throw before.Error;
        lock (_lock) return work(fault);
    }

    private EnvironmentFault? Ask(string operation, string subject)
    {
        EnvironmentCall call = Record(operation, subject);
        return Fault?.Invoke(call);
    }

    private EnvironmentCall Record(string operation, string subject)
    {
        lock (_lock)
        {
            var call = new EnvironmentCall(_calls.Count + 1, operation, subject);
            _calls.Add(call);
            return call;
        }
    }

    private FakeEnvironment Add(SourceRef source, VolumeFacts? facts, TarItem[] items)
    {
        var made = new FakeSource(facts);
        made.Merge(RawTar.OfDirectory(items));
        lock (_lock) _sources.Add(source, made);
        return this;
    }

    private FakeSource Source(SourceRef source) =>
        _sources.TryGetValue(source, out FakeSource? found) ? found : throw NotFound($"there is no {source} in {name}");

    private ServiceFacts Facts(string id, FakeService s) =>
        new(id, s.Name, s.Mode, s.Replicas, _containers.Values.Count(c => c.ServiceId == id && c.State == "running")) { Updating = s.Updating, Constrained = s.Constrained };

    private void Reconcile(string serviceId)
    {
        RemoveTasks(serviceId);
        for (long i = TasksThatStart(_services[serviceId].Name, _services[serviceId].Replicas); i > 0; i--) AddTask(serviceId);
    }

    private void RemoveTasks(string serviceId)
    {
        foreach (string task in _containers.Values.Where(c => c.ServiceId == serviceId).Select(c => c.Id).ToArray()) _containers.Remove(task);
    }

    private void AddTask(string serviceId)
    {
        FakeService service = _services[serviceId];
        string task = context.NewId()[..25];
        AddContainer($"{service.Name}.1.{task}", labels: service.Labels.Concat(
        [
            new("com.docker.swarm.task.id", task), new("com.docker.swarm.service.id", serviceId), new("com.docker.swarm.service.name", service.Name),
        ]).ToDictionary(), mounts: [.. service.Mounts]);
    }

    private ContainerFacts? Find(string idOrName) =>
        _containers.TryGetValue(idOrName, out ContainerFacts? byId) ? byId : _containers.Values.FirstOrDefault(c => c.Name == idOrName);

    private ContainerFacts Commanded(string id)
    {
        ContainerFacts now = Find(id) ?? throw NotFound($"No such container: {id}");
        return now.State == "running" ? now : throw Refused($"Container {now.Name} is {now.State}, it runs no commands");
    }

    private ContainerFacts Known(ContainerFacts now) => now.Running && now.Health is not null ? _containers[now.Id] = now with { Health = HealthOf(now) } : now;

    private string PlanEmpty(SourceRef target)
    {
        if (Source(target).IsEmpty) return $"{target} is empty already";
        bool referenced = _containers.Values.Any(c => c.Mounts.Any(m => m.Source == target.Name)) || _helpers.Values.Any(h => h.Source == target);
        if (!referenced && Source(target).Facts is { Driver: "local", Options.Count: 0 }) return $"volume {target} is removed and created again; no container references it";
        if (HasShellImage) return "a helper container that borrows /bin/sh and /bin/rm from image fake:1 removes the content";
        throw new EnvironmentException(name, $"cannot empty {target}: no image on the host has both a shell and rm or find",
            "remove the containers that use it, so that the volume can be re-created");
    }

    private string NextStart() => string.Create(CultureInfo.InvariantCulture, $"{context.Now.UtcDateTime:yyyy-MM-ddTHH:mm:ss}.{Interlocked.Increment(ref _starts):000000000}Z");

    private static ContainerFacts HelperFacts(KeyValuePair<string, (string RunId, SourceRef Source)> helper) => new(
        helper.Key + helper.Key, "backup-helper-" + helper.Key, "backup-helper:empty", "sha256:0", null, "created", "0001-01-01T00:00:00Z", false, null,
        new Dictionary<string, string> { [ContainerFacts.HelperLabel] = helper.Value.RunId },
        [new MountFacts(helper.Value.Source.Kind == SourceKind.Volume ? "volume" : "bind", helper.Value.Source.Name, "/data", false)]);

    private static MountFacts Mount(string text)
    {
        string[] parts = text.Split(':');
        return new MountFacts(parts[0].StartsWith('/') ? "bind" : "volume", parts[0], parts[1], parts.Length < 3 || parts[2] != "ro");
    }

    private EnvironmentException NotFound(string problem) => new(name, problem, "look what is there", FailureKind.NotFound);

    private CommandFailedException Ended(ContainerFacts container, int code, string error) =>
        new(name, $"{container.Name}: the command ended with exit code {code}: {error}", "look at the container's log");

    private EnvironmentException Refused(string problem) => new(name, problem, "look at the container's state");

    private sealed class Prepared(FakeEnvironment environment, ContainerFacts container, string id, IReadOnlyList<string> command) : IPreparedExec
    {
        public string Id => id;

        public async Task<ExecResult> RunAsync(TimeSpan timeout, CancellationToken cancel)
        {
            (Task end, ExecResult result) = await environment.Do("exec", container.Id, cancel, () =>
            {
                ContainerFacts now = environment.Commanded(container.Id);
                ExecResult said = environment.OnExec(now, command);
                return (environment._execs[id] = environment.ExecGoesOn(now, command), said);
            });
            try
            {
                await end.WaitAsync(timeout, cancel);
                return result;
            }
            catch (TimeoutException)
            {
                environment._execs[id] = Task.CompletedTask;
                throw environment.Refused($"{container.Name}: the command did not end within {timeout.TotalSeconds:0.###} s and was killed");
            }
        }
    }

    private sealed class Handle(FakeEnvironment environment, SourceRef source, string helper) : ISourceHandle
    {
        private bool _disposed;

        public Task<Stream> OpenAsync(CancellationToken cancel)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return environment.Do<Stream>("open", source.ToString(), cancel, fault =>
            {
                if (!environment._helpers.ContainsKey(helper)) throw environment.NotFound("No such container: the helper was removed");
                byte[] tar = environment.Source(source).Tar();
                return fault switch
                {
                    EnvironmentFault.After after => throw after.Error,
                    EnvironmentFault.EndsEarly early => new FaultyStream(tar, early.Bytes, null),
                    EnvironmentFault.Stalls stalls => new FaultyStream(tar, tar.Length, null) { Until = stalls.Until },
                    EnvironmentFault.Breaks breaks => new FaultyStream(tar, breaks.Bytes, breaks.Error),
                    _ => new FaultyStream(tar, tar.Length, null),
                };
            });
        }

        public ValueTask DisposeAsync()
        {
            if (_disposed) return ValueTask.CompletedTask;
            _disposed = true;
            environment.RemoveHelper(helper, source);
            return ValueTask.CompletedTask;
        }
    }
}
