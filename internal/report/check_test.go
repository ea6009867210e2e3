package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

func TestParseAssertion(t *testing.T) {
	tests := []struct {
		in    string
		bound float64
		want  string // in the error; empty if there is none
	}{
		{"speedup(goroutines,sqrt) >= 1.8", 1.8, ""},
		{" speedup ( goroutines , sqrt )>=1.8x ", 1.8, ""},
		{"ratio(goroutines, processes, sqrt) > 1.1×", 1.1, ""},
		{"share(goroutines, sqrt) >= 90%", 0.9, ""},
		{"share(goroutines, sqrt) >= 0.9", 0.9, ""},
		{"time(goroutines, sqrt) < 50ms", 50e6, ""},
		{"", 0, "want something like"},
		{"speedup(goroutines,sqrt)", 0, "want something like"},
		{"speedup(goroutines,sqrt) == 1", 0, "want something like"},
		{"sped(goroutines,sqrt) >= 1", 0, `unknown metric "sped"; known are speedup, `},
		{"speedup(sqrt) >= 1", 0, "want speedup(backend, workload)"},
		{"speedup(,sqrt) >= 1", 0, "want speedup(backend, workload)"},
		{"speedup(goroutines,sqrt) >= fast", 0, `"fast" is no bound of speedup; want something like 1.8`},
		{"speedup(goroutines,sqrt) >= -1", 0, "no bound"},
		{"time(goroutines,sqrt) <= 50", 0, "want something like 50ms"},
	}
	for _, tt := range tests {
		a, err := ParseAssertion(tt.in)
		switch {
		case tt.want == "" && (err != nil || a.Bound != tt.bound):
			t.Errorf("ParseAssertion(%q) = %+v, %v; want a bound of %v", tt.in, a, err, tt.bound)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("ParseAssertion(%q) = %+v, %v; want an error that says %q", tt.in, a, err, tt.want)
		}
	}
}

func FuzzParseAssertion(f *testing.F) {
	f.Add("speedup(goroutines,sqrt) >= 1.8")
	f.Add("time(a,b)<1s")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAssertion(s)
		if err != nil {
			return
		}
		again, err := ParseAssertion(a.String())
		if err != nil || again.Bound != a.Bound || again.Op != a.Op || strings.Join(again.Args, ",") != strings.Join(a.Args, ",") {
			t.Errorf("%q is %+v, and that is %+v, %v", s, a, again, err)
		}
	})
}

func TestCheck(t *testing.T) {
	r := Build(judgedData())
	tests := []struct{ assertion, result, why string }{
		{"speedup(goroutines, mixed_cpu_1ms) >= 1.3", Passed, ""},
		{"speedup(goroutines, mixed_cpu_1ms) >= 1.8", Failed, ""},
		{"speedup(goroutines, mixed_cpu_1ms) >= 1.43", Undecided, "both sides"},
		{"speedup(processes, mixed_cpu_100us) < 1", Passed, ""},
		{"cold_speedup(processes, mixed_cpu_1ms) <= 1.82", Passed, ""},
		{"ratio(processes, goroutines, mixed_cpu_1ms) > 1.2", Passed, ""},
		{"ratio(goroutines, processes, mixed_cpu_1ms) > 1", Failed, ""},
		{"share(goroutines, mixed_cpu_1ms) >= 60%", Passed, ""},
		{"cpu_cost(goroutines, mixed_cpu_1ms) <= 1.5", Passed, ""},
		{"time(goroutines, mixed_cpu_1ms) <= 90ms", Passed, ""},
		{"speedup(goroutines, disturbed) >= 1.5", Undecided, "other programs used 0.9 of 2 cores"},
		{"speedup(goroutines, impossible) >= 1.5", Undecided, "exceeds the 2.00× limit"},
	}
	for _, tt := range tests {
		a, err := ParseAssertion(tt.assertion)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Check([]Assertion{a})
		if err != nil || got[0].Result != tt.result || !strings.Contains(got[0].Why, tt.why) {
			t.Errorf("Check(%s) = %+v, %v; want %s, because %q", a, got, err, tt.result, tt.why)
		}
	}
	for assertion, want := range map[string]string{
		"speedup(threads, impossible) > 1": `nothing on "threads" for impossible; it has sequential, goroutines, processes`,
		"speedup(goroutines, sqrt) > 1":    `no workload "sqrt"; it has mixed_cpu_100us`,
	} {
		a, _ := ParseAssertion(assertion)
		if got, err := r.Check([]Assertion{a}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%s) = %+v, %v; want an error that says %q", a, got, err, want)
		}
	}
	quick, _ := ParseAssertion("speedup(goroutines, cpu) > 1")
	if got, err := Build(testData()).Check([]Assertion{quick}); err != nil || got[0].Result != Undecided || !strings.Contains(got[0].Why, "7 rounds; it takes 12") {
		t.Errorf("of seven rounds Check = %+v, %v; want it undecided", got, err)
	}
}

// With several assertions each has a wider interval.
func TestCheckOfMany(t *testing.T) {
	r := Build(judgedData())
	a, _ := ParseAssertion("speedup(goroutines, mixed_cpu_1ms) >= 1.3")
	one, err := r.Check([]Assertion{a})
	if err != nil {
		t.Fatal(err)
	}
	many, err := r.Check([]Assertion{a, a, a, a, a})
	if err != nil {
		t.Fatal(err)
	}
	if *many[0].Value.Low >= *one[0].Value.Low || many[0].Value.Confidence != 0.99 {
		t.Errorf("of five assertions each has %+v, a single one %+v; want wider", many[0].Value, one[0].Value)
	}
}

func TestCompare(t *testing.T) {
	a, b := judgedData(), judgedData()
	b.Run.ID, b.Run.Machine.CPU = "another", "other CPU"
	each(b, func(t *results.Trial) {
		if t.Cell == "mixed_cpu_1ms-goroutines" {
			t.WallNS /= 2
		}
	})
	c, err := Compare(Build(a), Build(b))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := CompareText(&text, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Unpaired, indicative", "different machines", "2.00×", "1.00×"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the comparison does not say %q:\n%s", want, text.String())
		}
	}
	for _, word := range []string{"faster,", "slower", "unclear"} {
		if strings.Contains(text.String(), word) {
			t.Errorf("two runs of different times have a verdict:\n%s", text.String())
		}
	}
	if _, err := Compare(Build(a), Build(testData())); err == nil || !strings.Contains(err.Error(), "nothing in common") {
		t.Errorf("comparing runs of different things = %v; want an error", err)
	}
}

// A build may be faster than the limit of the other, since it may do less work.
func TestBuildsHaveNoLimit(t *testing.T) {
	d := judgedData()
	d.Run.Builds = []results.Build{{Name: "A"}, {Name: "B"}}
	for i := range d.Run.Cells {
		if c := &d.Run.Cells[i]; c.Baseline {
			c.Build = "A"
		} else {
			c.Build = "B"
		}
	}
	row, _ := Build(d).find("impossible", "goroutines")
	if row.Limit != 0 || row.Verdict.Word != stats.Faster || !strings.Contains(row.Statement, "build B is 3.32× faster") {
		t.Errorf("the verdict on a build that is 3.32 times faster is %q, its limit %v; want it faster, and no limit", row.Statement, row.Limit)
	}
}

func TestNoise(t *testing.T) {
	n := Noise(Build(judgedData()))
	if len(n.Arms) != 6 {
		t.Fatalf("there are %d arms; want the baseline of each workload", len(n.Arms))
	}
	for _, a := range n.Arms {
		if len(a.Detectable) != 3 || a.Detectable[2].Wall >= a.Detectable[0].Wall || a.Detectable[0].Wall <= 1 || a.Variation <= 0 {
			t.Errorf("an arm is %+v; want more rounds to show smaller differences", a)
		}
	}
	var text bytes.Buffer
	if err := NoiseText(&text, n); err != nil || !strings.Contains(text.String(), "1.92 of 2 cores") {
		t.Errorf("as text, %v:\n%s", err, text.String())
	}
}
