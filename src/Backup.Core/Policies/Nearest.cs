namespace Backup.Policies;

/// <summary>Finds what somebody probably meant.</summary>
public static class Nearest
{
    /// <summary>A ready hint: "did you mean X?", or the whole choice when nothing is near.</summary>
    public static string Hint(string typed, IEnumerable<string> choice)
    {
        List<string> known = [.. choice];
        if (known.Count == 0) return "There is none to choose from.";
        string best = known.MinBy(k => Distance(typed, k))!;
        return Distance(typed, best) <= Math.Max(1, Math.Min(typed.Length, best.Length) / 3) || best.Equals(typed, StringComparison.OrdinalIgnoreCase)
            ? $"did you mean \"{best}\"?"
            : $"known here: {string.Join(", ", known)}";
    }

    /// <summary>Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. Case does not count.</summary>
    internal static int Distance(string a, string b)
    {
        (a, b) = (a.ToLowerInvariant(), b.ToLowerInvariant());
        var d = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++) d[i, 0] = i;
        for (int j = 0; j <= b.Length; j++) d[0, j] = j;
        for (int i = 1; i <= a.Length; i++)
            for (int j = 1; j <= b.Length; j++)
            {
                int cost = a[i - 1] == b[j - 1] ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
            }
        return d[a.Length, b.Length];
    }
}
