using Backup;
using Backup.Cli;
using Backup.Cli.Output;

Surroundings surroundings = Surroundings.OfProcess();
using var interruption = new Interruption();
interruption.Listen();
try
{
    int code = await CommandLine.RunAsync(args, surroundings, Wiring.Production, interruption);
    await surroundings.Out.FlushAsync();
    return code;
}
catch (BackupException failure)
{
    // Only standard output itself can fail this far out: every command tells its own failures.
    ErrorText.Write(surroundings.Error, "error:", failure.Problem, failure.Hint);
    return ExitCode.Of(failure.Kind);
}
