using System.Globalization;

namespace Backup.Planning;

/// <summary>One of the five fields of a cron expression: which values it allows.</summary>
/// <param name="Name">For messages.</param>
/// <param name="Bits">Bit N is set when the value N is allowed.</param>
/// <param name="Star">Written with a leading <c>*</c>: says nothing about the other day field.</param>
public sealed record CronField(string Name, int Minimum, int Maximum, ulong Bits, bool Star)
{
    private static readonly string[] Months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    private static readonly string[] Days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

    public bool Allows(int value) => (Bits >> value & 1) != 0;

    /// <summary>Every allowed value, ascending.</summary>
    public IEnumerable<int> Values => Enumerable.Range(Minimum, Maximum - Minimum + 1).Where(Allows);

    /// <summary>True when the field allows every value.</summary>
    public bool Full => Values.Count() == Maximum - Minimum + 1;

    internal static CronField Minute(string text) => Parse("minute", text, 0, 59, []);
    internal static CronField Hour(string text) => Parse("hour", text, 0, 23, []);
    internal static CronField Day(string text) => Parse("day of month", text, 1, 31, []);
    internal static CronField Month(string text) => Parse("month", text, 1, 12, Months);

    /// <summary>0 is Sunday; 7 is read as Sunday too, also at the end of a range.</summary>
    internal static CronField Weekday(string text)
    {
        CronField field = Parse("day of week", text, 0, 7, Days);
        ulong sunday = field.Bits >> 7 & 1;
        return field with { Maximum = 6, Bits = field.Bits & 0x7f | sunday };
    }

    /// <exception cref="FormatException">With the problem in the user's words.</exception>
    private static CronField Parse(string name, string text, int minimum, int maximum, string[] names)
    {
        ulong bits = 0;
        foreach (string part in text.Split(','))
        {
            int slash = part.IndexOf('/');
            string range = slash < 0 ? part : part[..slash];
            int step = slash < 0 ? 1 : Step(name, part[(slash + 1)..], maximum);
            (int from, int to) = Range(name, range, minimum, maximum, names, open: slash >= 0);
            for (int value = from; value <= to; value += step) bits |= 1UL << value;
        }
        return new CronField(name, minimum, maximum, bits, text.StartsWith('*'));
    }

    private static (int From, int To) Range(string name, string text, int minimum, int maximum, string[] names, bool open)
    {
        bool week = maximum == 7;
        if (text == "*") return (minimum, week ? 6 : maximum);
        int dash = text.IndexOf('-');
        if (dash < 0)
        {
            int value = Value(name, text, minimum, maximum, names);
            return (value, open ? Math.Max(value, week ? 6 : maximum) : value);
        }
        int from = Value(name, text[..dash], minimum, maximum, names);
        int to = Value(name, text[(dash + 1)..], minimum, maximum, names);
        if (week && to == 0 && from > 0) to = 7;
        if (from > to) throw new FormatException($"the {name} range {text} runs backwards");
        return (from, to);
    }

    private static int Step(string name, string text, int maximum) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int step) && step >= 1 && step <= maximum
            ? step
            : throw new FormatException($"\"{text}\" is no step for the {name}");

    private static int Value(string name, string text, int minimum, int maximum, string[] names)
    {
        int index = Array.FindIndex(names, n => n.Equals(text, StringComparison.OrdinalIgnoreCase));
        if (index >= 0) return index + minimum;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= minimum && value <= maximum) return value;
        string allowed = names.Length == 0 ? $"{minimum} to {maximum}" : $"{minimum} to {maximum} or {names[0]} to {names[^1]}";
        throw new FormatException($"\"{text}\" is no {name} ({allowed})");
    }
}
