using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

public class LocationsTests
{
    private static Backup.Cli.Surroundings With(bool root, params (string Name, string Value)[] variables) => new()
    {
        Out = TextWriter.Null,
        Error = TextWriter.Null,
        OpenOutput = () => Stream.Null,
        Live = false,
        Color = false,
        Width = () => 80,
        Variable = name => variables.FirstOrDefault(v => v.Name == name).Value,
        Directory = "/somewhere",
        Root = root,
        Time = TimeProvider.System,
    };

    [Fact]
    public void State_is_where_the_variable_says_then_systemd_then_by_user()
    {
        Backup.Cli.Locations.State(With(true, ("BACKUP_STATE_DIR", "here"), ("STATE_DIRECTORY", "/x"))).ShouldBe("/somewhere/here");
        Backup.Cli.Locations.State(With(true, ("STATE_DIRECTORY", "/var/lib/backup:/var/lib/other"))).ShouldBe("/var/lib/backup");
        Backup.Cli.Locations.State(With(true)).ShouldBe("/var/lib/backup");
        Backup.Cli.Locations.State(With(false, ("HOME", "/home/u"), ("XDG_STATE_HOME", "/home/u/s"))).ShouldBe("/home/u/s/backup");
        Backup.Cli.Locations.State(With(false, ("HOME", "/home/u"))).ShouldBe("/home/u/.local/state/backup");
    }
}
