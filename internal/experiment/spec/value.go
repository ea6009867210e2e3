package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A ValueKind is what values an option has.
type ValueKind struct {
	Name string // as the help of a flag shows it
	List string // what separates several values in one text, or "repeat" if each has one of its own; empty if there is but one

	parse  func(text string) (v any, ok bool)
	want   func(o *Option) string // what values there are, within the option's bounds
	schema func(o *Option) object // of one value, in a file
}

// The kinds of options.
var (
	Text     = ValueKind{Name: "string", parse: parseText, want: wantText, schema: textSchema}
	Names    = ValueKind{Name: "strings", List: ",", parse: parseText, want: wantText, schema: textSchema}
	Repeated = ValueKind{Name: "stringArray", List: "repeat", parse: parseText, want: wantText, schema: textSchema}
	Int      = ValueKind{Name: "int", parse: parseInt, want: wantInt, schema: intSchema}
	Numbers  = ValueKind{Name: "ints", List: ",", parse: parseInt, want: wantInt, schema: intSchema}
	Seed     = ValueKind{Name: "uint", parse: parseSeed, want: func(*Option) string { return "a whole number, 0 or more" }, schema: intSchema}
	Duration = ValueKind{Name: "duration", parse: parseDuration, want: wantDuration, schema: durationSchema}
	Share    = ValueKind{Name: "string", parse: parseShare, want: func(*Option) string { return "0.1% to 50%, such as 2%" }, schema: shareSchema}
	Switch   = ValueKind{Name: "bool", parse: parseSwitch, want: func(*Option) string { return "true or false" }, schema: switchSchema}
)

func wantText(o *Option) string { return "text, such as " + o.Example }

func wantInt(o *Option) string { return grouped(o.Min) + " to " + grouped(o.Max) }

func wantDuration(o *Option) string {
	return fmt.Sprintf("at least %v, such as %s", time.Duration(o.Min), o.Example)
}

// numberOf returns what bounds are held against: a whole number, or nanoseconds.
func numberOf(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case time.Duration:
		return int64(v), true
	}
	return 0, false
}

// split returns the values in one text.
func (k ValueKind) split(text string) []string {
	if k.List != "," {
		return []string{text}
	}
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, strings.TrimSpace(part))
	}
	return all
}

func parseText(text string) (any, bool) { return text, true }

func parseInt(text string) (any, bool) {
	n, err := wholeNumber(text, 64)
	return int(n), err == nil && int64(int(n)) == n
}

func parseSeed(text string) (any, bool) {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil { // 1e3 is whole, too
		i, err := wholeNumber(text, 64)
		return uint64(max(i, 0)), err == nil && i >= 0 //nolint:gosec // it is not negative
	}
	return n, true
}

func parseDuration(text string) (any, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil
}

func parseSwitch(text string) (any, bool) {
	b, err := strconv.ParseBool(text)
	return b, err == nil
}

// parseShare reads a precision such as "2%" as a share.
func parseShare(text string) (any, bool) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return v / 100, percent && err == nil && v >= 0.1 && v <= 50
}

// wholeNumber reads a whole number, which may be written as 1_000, 0x10 or 1e3.
func wholeNumber(text string, bits int) (int64, error) {
	n, err := strconv.ParseInt(text, 0, bits)
	if err == nil {
		return n, nil
	}
	if f, ferr := strconv.ParseFloat(text, 64); ferr == nil && f == math.Trunc(f) && math.Abs(f) < math.Exp2(float64(min(bits-1, 53))) {
		return int64(f), nil
	}
	return 0, err
}

// textOf is the text of a value, as a user would write it.
func textOf(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(100*f, 'g', 6, 64) + "%"
	}
	return fmt.Sprint(v)
}

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	if n < 5000 { // 4096 is a word of its own
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func quoted(text string) string { return strconv.Quote(text) }

// anyOf lists what there is to choose from.
func anyOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// A wantError is a value and what is wanted in its place.
type wantError struct{ value, want string }

func (e wantError) Error() string { return e.value + "; want " + e.want }
