using System.Runtime.InteropServices;

namespace Backup.Streams;

/// <summary>The system's libzstd (1.4 or newer). Every call that can fail goes through <see cref="Check"/>.</summary>
internal static unsafe partial class Zstd
{
    private const string Library = "libzstd.so.1";

    internal const int CompressionLevel = 100, ChecksumFlag = 201;
    internal const int Continue = 0, End = 2;

    [StructLayout(LayoutKind.Sequential)]
    internal struct InBuffer { public byte* Source; public nuint Size; public nuint Position; }

    [StructLayout(LayoutKind.Sequential)]
    internal struct OutBuffer { public byte* Target; public nuint Size; public nuint Position; }

    [LibraryImport(Library)] internal static partial uint ZSTD_versionNumber();
    [LibraryImport(Library)] internal static partial uint ZSTD_isError(nuint code);
    [LibraryImport(Library)] internal static partial byte* ZSTD_getErrorName(nuint code);
    [LibraryImport(Library)] internal static partial nuint ZSTD_compressBound(nuint size);
    [LibraryImport(Library)] internal static partial nint ZSTD_createCCtx();
    [LibraryImport(Library)] internal static partial nuint ZSTD_freeCCtx(nint context);
    [LibraryImport(Library)] internal static partial nuint ZSTD_CCtx_setParameter(nint context, int parameter, int value);
    [LibraryImport(Library)] internal static partial nuint ZSTD_compress2(nint context, byte* target, nuint capacity, byte* source, nuint size);
    [LibraryImport(Library)] internal static partial nuint ZSTD_compressStream2(nint context, OutBuffer* output, InBuffer* input, int operation);
    [LibraryImport(Library)] internal static partial nint ZSTD_createDCtx();
    [LibraryImport(Library)] internal static partial nuint ZSTD_freeDCtx(nint context);
    [LibraryImport(Library)] internal static partial nuint ZSTD_decompressDCtx(nint context, byte* target, nuint capacity, byte* source, nuint size);
    [LibraryImport(Library)] internal static partial nuint ZSTD_decompressStream(nint context, OutBuffer* output, InBuffer* input);

    /// <summary>Throws the one clear error when the library is missing or too old; costs nothing the second time.</summary>
    internal static void Require()
    {
        uint version;
        try
        {
            version = ZSTD_versionNumber();
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            throw new BackupException("The compression library libzstd.so.1 is not installed on this machine.",
                "Install it: 'apt-get install libzstd1' on Debian and Ubuntu, 'dnf install libzstd' on Fedora and RHEL, 'apk add zstd-libs' on Alpine.", inner: e);
        }
        if (version < 10400)
            throw new BackupException($"The installed libzstd is too old: {version / 10000}.{version / 100 % 100}.{version % 100}.", "Install libzstd 1.4 or newer.");
    }

    internal static bool Failed(nuint code) => ZSTD_isError(code) != 0;

    internal static string ErrorName(nuint code) => Marshal.PtrToStringUTF8((nint)ZSTD_getErrorName(code)) ?? "unknown";

    /// <summary>For calls that only a bug or a lack of memory can make fail.</summary>
    internal static nuint Check(nuint code)
    {
        if (Failed(code)) throw new InvalidOperationException("libzstd: " + ErrorName(code));
        return code;
    }
}
