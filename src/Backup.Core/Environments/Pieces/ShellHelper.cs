namespace Backup.Environments.Pieces;

/// <summary>A helper over a borrowed image that runs, so that scripts can be run in it. The source is at <see cref="HelperContainers.Root"/>.</summary>
internal sealed class ShellHelper : IAsyncDisposable
{
    /// <summary>Longer than any backup. A helper that nobody removes ends by itself.</summary>
    private const string Life = "604800";

    private readonly DockerApi _api;
    private readonly HelperContainers _helpers;

    private ShellHelper(DockerApi api, HelperContainers helpers, BorrowedImage image, string id) => (_api, _helpers, Image, Id) = (api, helpers, image, id);

    internal BorrowedImage Image { get; }

    internal string Id { get; }

    /// <param name="needs">Groups of programs; of each, one is enough. A shell is always there.</param>
    /// <returns>Null when no image on the host has what is needed.</returns>
    internal static async Task<ShellHelper?> StartAsync(
        DockerApi api, HelperContainers helpers, BorrowedImages images, SourceRef source, bool readOnly, IReadOnlyList<string[]> needs, string runId, CancellationToken cancel)
    {
        MountRequest mount = source.Kind == SourceKind.Volume
            ? HelperContainers.Mount(source.Name, readOnly, runId)
            : new MountRequest("bind", source.Name, HelperContainers.Root, readOnly);
        await foreach (BorrowedImage image in images.WithAsync(source, runId, [["sleep"], .. needs], cancel).ConfigureAwait(false))
        {
            var request = new ContainerRequest(image.Id, [Life], HelperContainers.Labels(runId), HelperContainers.Host(mount), [image.Programs["sleep"]], "0:0");
            string id = await helpers.CreateAsync(runId, request, cancel).ConfigureAwait(false);
            var helper = new ShellHelper(api, helpers, image, id);
            try
            {
                await api.ContainerVerbAsync(id, "start", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
                // What is wrong with one image (another architecture, a broken loader) need not be with the next.
                if ((await helper.RunAsync("try", ":", cancel).ConfigureAwait(false)).ExitCode == 0) return helper;
            }
            catch (EngineRefusalException)
            {
            }
            catch
            {
                await helper.DisposeAsync().ConfigureAwait(false);
                throw;
            }
            await helper.DisposeAsync().ConfigureAwait(false);
        }
        return null;
    }

    /// <summary>Where a program of the image is, for scripts.</summary>
    internal string this[string program] => Image.Programs[program];

    /// <summary>What a script writes; the stream ends only when its exit code is 0.</summary>
    /// <param name="name">For messages.</param>
    internal async Task<Stream> OpenAsync(string name, string script, CancellationToken cancel) =>
        await (await ExecAsync(name, script, cancel).ConfigureAwait(false)).OpenAsync(cancel).ConfigureAwait(false);

    internal async Task<ExecResult> RunAsync(string name, string script, CancellationToken cancel) =>
        await (await ExecAsync(name, script, cancel).ConfigureAwait(false)).RunAsync(cancel).ConfigureAwait(false);

    private Task<DockerExec> ExecAsync(string name, string script, CancellationToken cancel) =>
        DockerExec.CreateAsync(_api, Id, [Image.Shell, "-c", script + "\n", name], cancel);

    public ValueTask DisposeAsync() => _helpers.RemoveAsync(Id);
}
