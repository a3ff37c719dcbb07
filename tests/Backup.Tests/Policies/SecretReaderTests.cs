using System.Runtime.Versioning;
using Backup.Policies;
using Shouldly;
using Xunit;

namespace Backup.Tests.Policies;

[UnsupportedOSPlatform("windows")]
public sealed class SecretReaderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("backup-secret-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private string Write(string text, UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite)
    {
        string path = Path.Combine(_folder, "secret");
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, mode);
        return path;
    }

    private static string Read(string reference, params (string Name, string Value)[] variables) =>
        SecretReader.Read(new Secret(reference, "$.stores.s.secretAccessKey"), n => variables.Where(v => v.Name == n).Select(v => v.Value).FirstOrDefault());

    private static BackupException Refused(string reference, params (string Name, string Value)[] variables)
    {
        var e = Should.Throw<BackupException>(() => Read(reference, variables));
        e.Kind.ShouldBe(FailureKind.Usage);
        e.Problem.ShouldStartWith("$.stores.s.secretAccessKey: ");
        e.Hint.ShouldNotBeEmpty();
        return e;
    }

    [Fact]
    public void A_variable_is_read() => Read("env:KEY", ("KEY", "s3cret")).ShouldBe("s3cret");

    [Fact]
    public void A_missing_variable_is_named_with_its_place_in_the_policy() => Refused("env:KEY").Problem.ShouldContain("variable KEY is not set");

    [Fact]
    public void An_empty_variable_is_refused() => Refused("env:KEY", ("KEY", "")).Problem.ShouldContain("KEY is empty");

    [Theory]
    [InlineData("s3cret\n")]
    [InlineData("s3cret\r\n\n")]
    [InlineData("s3cret")]
    public void A_file_is_read_without_its_line_ends(string text) => Read("file:" + Write(text)).ShouldBe("s3cret");

    [Fact]
    public void Blanks_inside_and_around_a_secret_belong_to_it() => Read("file:" + Write(" a b \n")).ShouldBe(" a b ");

    [Theory]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.OtherWrite)]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.GroupWrite)]
    public void A_file_that_others_can_read_or_write_is_refused_with_the_cure(UnixFileMode extra)
    {
        string path = Write("s3cret", UnixFileMode.UserRead | UnixFileMode.UserWrite | extra);
        BackupException e = Refused("file:" + path);
        e.Hint.ShouldBe($"chmod 600 {path}");
        e.Message.ShouldNotContain("s3cret");
    }

    [Fact]
    public void A_missing_file_is_named() => Refused($"file:{_folder}/no").Problem.ShouldContain($"{_folder}/no does not exist");

    [Fact]
    public void A_folder_is_not_a_secret() => Refused("file:" + _folder).Problem.ShouldContain("is a directory");

    [Fact]
    public void An_empty_file_is_refused() => Refused("file:" + Write("\n")).Problem.ShouldContain("is empty");

    [Fact]
    public void A_systemd_credential_is_read_whatever_its_mode()
    {
        Write("s3cret\n", UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Read("cred:secret", ("CREDENTIALS_DIRECTORY", _folder)).ShouldBe("s3cret");
    }

    [Fact]
    public void A_credential_outside_of_systemd_says_what_to_do() => Refused("cred:secret").Hint.ShouldContain("LoadCredential=secret:");

    [Theory]
    [InlineData("cred:../secret")]
    [InlineData("cred:")]
    [InlineData("cred:..")]
    public void A_credential_never_leaves_its_folder(string reference) =>
        Refused(reference, ("CREDENTIALS_DIRECTORY", _folder)).Problem.ShouldContain("is not the name");

    [Fact]
    public void A_literal_is_refused_and_not_repeated() => Refused("hunter2").ToString().ShouldNotContain("hunter2");
}
