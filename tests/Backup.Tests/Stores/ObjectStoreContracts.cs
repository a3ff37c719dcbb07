using Backup.Policies;
using Backup.Stores;
using Backup.Tests.Contracts;
using Backup.Tests.Fakes;
using Xunit;

namespace Backup.Tests.Stores;

public sealed class MemoryObjectStoreContract : ObjectStoreContract
{
    protected override Task<IObjectStore> OpenAsync() => Task.FromResult<IObjectStore>(new MemoryObjectStore());
}

public sealed class FaultyObjectStoreContract : ObjectStoreContract
{
    protected override Task<IObjectStore> OpenAsync() => Task.FromResult<IObjectStore>(new FaultyObjectStore(new MemoryObjectStore(), (_, _) => null));
}

public sealed class RetryingObjectStoreContract : ObjectStoreContract
{
    protected override Task<IObjectStore> OpenAsync() =>
        Task.FromResult<IObjectStore>(new RetryingObjectStore(new MemoryObjectStore(), new RecordingContext().Run));
}

public sealed class DirectoryObjectStoreContract : ObjectStoreContract
{
    private readonly string _folder = Directory.CreateTempSubdirectory("backup-store-").FullName;

    protected override Task<IObjectStore> OpenAsync() =>
        Task.FromResult<IObjectStore>(new DirectoryObjectStore(new DirectoryStorePolicy("disk", Path.Combine(_folder, "not", "yet")), new RecordingContext().Run));

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }
}

[Collection("s3")]
public sealed class CephObjectStoreContract(S3Fixture servers) : ObjectStoreContract
{
    protected override int PartSize => (int)S3Server.SmallPart;
    protected override async Task<IObjectStore> OpenAsync() => (await servers.CephAsync()).Open();
}

[Collection("s3")]
public sealed class OldCephObjectStoreContract(S3Fixture servers) : ObjectStoreContract
{
    protected override int PartSize => (int)S3Server.SmallPart;
    protected override async Task<IObjectStore> OpenAsync() => (await servers.CephOldAsync()).Open();
}

[Collection("s3")]
public sealed class SwiftObjectStoreContract(S3Fixture servers) : ObjectStoreContract
{
    protected override int PartSize => (int)S3Server.SmallPart;
    protected override async Task<IObjectStore> OpenAsync() => (await servers.SwiftAsync()).Open();
}
