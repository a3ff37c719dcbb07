using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Tests.Contracts;

namespace Backup.Tests.Snapshots;

public sealed class ArchiveSnapshotStoreTests : SnapshotStoreContract
{
    protected override ISnapshotStore Create(RunContext context) => new ArchiveSnapshotStore(new CountingStore(context.Time), context);
}
