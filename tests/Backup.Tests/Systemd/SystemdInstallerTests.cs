using Backup.Cli.Systemd;
using Shouldly;
using Xunit;

namespace Backup.Tests.Systemd;

public sealed class SystemdInstallerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("backup-install-").FullName;
    private readonly List<string> _calls = [];

    public void Dispose() => Directory.Delete(_folder, true);

    private static readonly UnitFile[] Units =
    [
        new("backup-a.service", SystemdUnits.Marker + "\n[Service]\n"), new("backup-a.timer", SystemdUnits.Marker + "\n[Timer]\n"), new("backup-recover.service", SystemdUnits.Marker + "\n"),
    ];

    private Task<(int, string)> Systemctl(IReadOnlyList<string> arguments, CancellationToken cancel)
    {
        _calls.Add(string.Join(' ', arguments));
        return Task.FromResult((0, ""));
    }

    [Fact(Timeout = 30_000)]
    public async Task Units_are_written_enabled_and_taken_away_again()
    {
        (await SystemdInstaller.InstallAsync(Units, _folder, Systemctl, default)).ShouldContain($"written: {_folder}/backup-a.timer");
        File.ReadAllText(Path.Combine(_folder, "backup-a.timer")).ShouldBe(Units[1].Text);
        _calls.ShouldBe(["daemon-reload", "enable --now -- backup-a.timer", "enable -- backup-recover.service"]);
        SystemdInstaller.Installed(_folder).ShouldBe(["backup-a.service", "backup-a.timer", "backup-recover.service"]);
        (await SystemdInstaller.InstallAsync(Units, _folder, Systemctl, default))[0].ShouldBe($"unchanged: {_folder}/backup-a.service");

        _calls.Clear();
        (await SystemdInstaller.RemoveAsync(["backup-a.service", "backup-a.timer", "backup-zzz.timer"], _folder, Systemctl, default)).Count.ShouldBe(2);
        _calls.ShouldBe(["disable --now -- backup-a.timer", "daemon-reload"]);
        Directory.GetFiles(_folder).Select(Path.GetFileName).ShouldBe(["backup-recover.service"]);
    }

    [Fact(Timeout = 30_000)]
    public async Task A_file_of_somebody_else_is_neither_replaced_nor_removed()
    {
        string theirs = Path.Combine(_folder, "backup-a.timer");
        await File.WriteAllTextAsync(theirs, "[Timer]\n");
        (await Should.ThrowAsync<BackupException>(() => SystemdInstaller.InstallAsync(Units, _folder, Systemctl, default))).Problem.ShouldContain("not written by this program");
        Directory.GetFiles(_folder).Length.ShouldBe(1);
        (await SystemdInstaller.RemoveAsync(["backup-a.timer"], _folder, Systemctl, default)).ShouldBeEmpty();
        File.Exists(theirs).ShouldBeTrue();
        _calls.ShouldBeEmpty();
    }

    [Fact(Timeout = 30_000)]
    public async Task A_failing_systemctl_is_reported_with_its_words()
    {
        var e = await Should.ThrowAsync<BackupException>(() => SystemdInstaller.InstallAsync(Units, _folder, (_, _) => Task.FromResult((1, "no bus\n")), default));
        e.Problem.ShouldBe("systemctl daemon-reload failed (1): no bus");
    }

    [Fact(Timeout = 30_000)]
    public async Task A_directory_that_cannot_be_written_is_named() =>
        (await Should.ThrowAsync<BackupException>(() => SystemdInstaller.InstallAsync(Units, _folder + "/no", Systemctl, default))).Problem.ShouldContain("cannot be written");
}
