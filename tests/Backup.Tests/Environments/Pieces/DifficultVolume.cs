using Xunit;

namespace Backup.Tests.Environments.Pieces;

/// <summary>A volume that is hard to take apart.</summary>
internal static class DifficultVolume
{
    /// <summary>About 7 MB with everything that is difficult: names, hard links near and far, a file that no single answer holds.</summary>
    public static async Task<string> MakeAsync(EngineScope scope)
    {
        string name = await scope.VolumeAsync("tree");
        string mountpoint = await scope.DockerAsync("volume", "inspect", "-f", "{{.Mountpoint}}", name);
        await HostProcess.RunAsync("bash", ["-euc", $$"""
            cd '{{mountpoint}}'
            mkdir -p a/deep/er b '.hidden dir' "$(printf 'latin1-\351\377')" z; chmod 1777 z; chown 70:71 b
            for i in 1 2 3 4 5 6; do head -c 300000 /dev/urandom > a/$i; done
            head -c 3000000 /dev/urandom > b/big; chmod 4755 b/big; touch -d @1600000000 b/big
            for i in $(seq 100 140); do head -c 2000 /dev/urandom > a/deep/er/$i; done
            head -c 200000 /dev/urandom > a/deep/linked; ln a/deep/linked b/linked; ln a/deep/linked z/linked; ln -s ../a b/symlink; ln b/symlink z/symlink
            head -c 1000000 /dev/urandom > '.hidden dir/first'
            echo 1 > "$(printf 'latin1-\351\377')/$(printf 'new\nline %% \\ "quote" \047')"; echo 2 > "z/$(printf '文件')"
            head -c 400000 /dev/urandom > "z/$(printf 'n%.0s' $(seq 200))"; ln "z/$(printf 'n%.0s' $(seq 200))" zz-late
            mkfifo z/fifo; mknod z/null c 1 3; head -c 600000 /dev/urandom > z/last
            python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("z/socket")' 2>/dev/null || true
            """]);
        return name;
    }

    public static void Same(byte[] tar, byte[] wanted)
    {
        int same = tar.AsSpan().CommonPrefixLength(wanted);
        int from = same / 512 * 512;
        if (same < wanted.Length || tar.Length != wanted.Length)
            Assert.Fail($"they differ at byte {same} of {tar.Length} and {wanted.Length}:\n{Text(tar, from)}\n{Text(wanted, from)}");

        static string Text(byte[] bytes, int from) => string.Concat(bytes.Skip(from).Take(512).Select(b => b is >= 32 and < 127 ? ((char)b).ToString() : b == 0 ? "." : $"\\{b:x2}"));
    }
}
