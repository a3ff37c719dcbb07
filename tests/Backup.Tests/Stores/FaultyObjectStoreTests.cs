using Backup.Stores;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Stores;

public sealed class FaultyObjectStoreTests
{
    private static async Task WorkAsync(IObjectStore store)
    {
        await using (ObjectWriter writer = await store.CreateAsync("a", null, default))
        {
            await writer.WriteAsync(new byte[10], default);
            await writer.CommitAsync(default);
        }
        await using (Stream stream = (await store.OpenReadAsync("a", 0, null, default))!) await stream.ReadExactlyAsync(new byte[10]);
        await store.DeleteAsync("a", default);
    }

    [Fact(Timeout = 10_000)]
    public async Task A_sweep_can_hit_every_call_it_counted()
    {
        var count = new FaultyObjectStore(new MemoryObjectStore(), (_, _) => null);
        await WorkAsync(count);
        count.Calls.ShouldBe(["create a", "write a", "commit a", "discard a", "open a", "read a", "delete a"]);
        Should.Throw<InvalidOperationException>(count.ShouldHaveBeenHit);
        for (int i = 1; i <= count.Calls.Count; i++)
        {
            foreach (FaultWhen when in Enum.GetValues<FaultWhen>())
            {
                var inner = new MemoryObjectStore();
                FaultyObjectStore dying = FaultyObjectStore.OnCall(inner, i, point => Fault.Die(point, when));
                await Should.ThrowAsync<ProcessDeath>(() => WorkAsync(dying), $"call {i}");
                dying.ShouldHaveBeenHit();
                bool committed = i > 3 || i == 3 && when == FaultWhen.After, deleted = i == 7 && when == FaultWhen.After;
                inner.Keys.ShouldBe(committed && !deleted ? ["a"] : [], $"call {i} {when}");
                inner.Unfinished.Count.ShouldBe(i is 2 || i == 3 && when == FaultWhen.Before || i == 1 && when == FaultWhen.After ? 1 : 0, $"call {i} {when}");
            }
        }
    }
}
