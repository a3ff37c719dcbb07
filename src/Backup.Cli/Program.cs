using Backup.Cli;

Surroundings surroundings = Surroundings.OfProcess();
using var interruption = new Interruption();
interruption.Listen();
try
{
    return await CommandLine.RunAsync(args, surroundings, Wiring.Production, interruption);
}
finally
{
    await surroundings.Out.FlushAsync();
}
