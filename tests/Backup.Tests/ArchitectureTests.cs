using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Backup.Cli;
using Shouldly;
using Xunit;

namespace Backup.Tests;

/// <summary>The rules of the house, kept by the build rather than by memory.</summary>
public class ArchitectureTests
{
    private static readonly Assembly Core = typeof(RunContext).Assembly;

    /// <summary>Files over 500 lines, each with the reason why it is not two.</summary>
    private static readonly Dictionary<string, string> LongFiles = [];

    [Theory]
    [InlineData(@"\bDateTime(Offset)?\.(Utc)?Now\b", "time comes through RunContext.Time")]
    [InlineData(@"\bDateTime\.Today\b", "time comes through RunContext.Time")]
    [InlineData(@"\bGuid\.NewGuid\b", "ids come from RunContext.NewId")]
    [InlineData(@"\bRandom\.Shared\b|\bnew Random\(", "chance comes through RunContext.Random")]
    [InlineData(@"\bConsole\.", "the engine knows no console: report a RunEvent")]
    [InlineData(@"\bThread\.Sleep\b", "await Task.Delay with the clock of RunContext")]
    [InlineData(@"\bnew Progress<", "it posts to the pool and loses the last reports: implement IProgress")]
    public void The_engine_does_not_reach_for_ambient_things(string pattern, string instead)
    {
        var found = CoreSources()
            .SelectMany(file => File.ReadLines(file).Select((line, i) => (file, line, number: i + 1)))
            .Where(l => Regex.IsMatch(Code(l.line), pattern))
            .Select(l => $"{Path.GetRelativePath(Root, l.file)}:{l.number}: {l.line.Trim()}");
        found.ShouldBeEmpty(instead);
    }

    [Fact]
    public void The_engine_does_not_reference_the_console_or_the_command_line() =>
        Core.GetReferencedAssemblies().Select(a => a.Name)
            .ShouldNotContain(name => name == "System.Console" || name == "System.CommandLine" || name == "backup");

    [Fact]
    public void No_public_type_shows_a_vendors_types()
    {
        var shown = Core.GetExportedTypes()
            .SelectMany(type => Signatures(type).Where(IsVendors).Select(vendor => $"{type.FullName} shows {vendor.FullName}"))
            .Distinct();
        shown.ShouldBeEmpty("a vendor's types stay inside their adapter");
    }

    [Fact]
    public void Only_the_wiring_names_implementations()
    {
        string[] names = ["DockerEnvironment", "DirectoryObjectStore", "S3ObjectStore", "RetryingObjectStore", "ArchiveSnapshotStore"];
        var found = Sources("src/Backup.Cli")
            .Where(file => Path.GetFileName(file) != "Wiring.cs")
            .SelectMany(file => names.Where(name => Regex.IsMatch(File.ReadAllText(file), $@"\b{name}\b")).Select(name => $"{Path.GetFileName(file)} names {name}"));
        found.ShouldBeEmpty();
    }

    [Fact]
    public void A_file_over_500_lines_has_a_reason()
    {
        var unexplained = Sources("src")
            .Select(file => (Name: Path.GetRelativePath(Root, file), Lines: File.ReadLines(file).Count()))
            .Where(f => f.Lines > 500 && !LongFiles.ContainsKey(f.Name))
            .Select(f => $"{f.Name}: {f.Lines} lines");
        unexplained.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(@"\bTODO\b|\bFIXME\b|\bHACK\b")]
    [InlineData(@"\bNotImplementedException\b")]
    [InlineData(@"\bcatch\s*(\(\s*Exception\s*\)\s*)?\{\s*\}")]
    public void Nothing_unfinished_is_shipped(string pattern)
    {
        var found = Sources("src").Where(file => Regex.IsMatch(File.ReadAllText(file), pattern)).Select(file => Path.GetRelativePath(Root, file));
        found.ShouldBeEmpty();
    }

    [Fact]
    public void The_program_says_which_exit_code_each_kind_of_failure_has()
    {
        foreach (FailureKind kind in Enum.GetValues<FailureKind>()) ExitCode.Of(kind).ShouldBeGreaterThan(0, kind.ToString());
        Enum.GetValues<FailureKind>().Select(ExitCode.Of).Distinct().Count().ShouldBe(Enum.GetValues<FailureKind>().Length);
    }

    private static string Root { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", ".."));

    private static string ThisFile([CallerFilePath] string path = "") => path;

    private static IEnumerable<string> CoreSources() => Sources("src/Backup.Core");

    private static string[] Sources(string folder)
    {
        string[] files =
        [
            .. Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
                .Where(f => !Regex.IsMatch(f, @"[/\\](bin|obj)[/\\]")),
        ];
        files.ShouldNotBeEmpty($"no sources under {folder}: this test would pass for nothing");
        return files;
    }

    /// <summary>The line without its comment, so that prose may name what code may not.</summary>
    private static string Code(string line)
    {
        int comment = line.IndexOf("//", StringComparison.Ordinal);
        return comment < 0 || line[..comment].Contains('"') ? line : line[..comment];
    }

    private static bool IsVendors(Type type) =>
        type.Namespace is { } space && (space.StartsWith("Amazon", StringComparison.Ordinal) || space.StartsWith("NCrontab", StringComparison.Ordinal));

    private static IEnumerable<Type> Signatures(Type type)
    {
        const BindingFlags visible = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        IEnumerable<Type> own = type.GetInterfaces();
        if (type.BaseType is not null) own = own.Append(type.BaseType);
        own = own
            .Concat(type.GetMethods(visible).Where(m => m.IsPublic || m.IsFamily).SelectMany(m => m.GetParameters().Select(p => p.ParameterType).Append(m.ReturnType)))
            .Concat(type.GetConstructors(visible).Where(c => c.IsPublic || c.IsFamily).SelectMany(c => c.GetParameters().Select(p => p.ParameterType)))
            .Concat(type.GetFields(visible).Where(f => f.IsPublic || f.IsFamily).Select(f => f.FieldType));
        return own.SelectMany(Parts);
    }

    private static IEnumerable<Type> Parts(Type type) =>
        type.HasElementType ? Parts(type.GetElementType()!) : type.IsGenericType ? type.GetGenericArguments().SelectMany(Parts).Append(type) : [type];
}
