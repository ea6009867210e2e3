package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

func TestCosts(t *testing.T) {
	r := Build(judgedData())
	if len(r.ObserverCosts) != 2*3 {
		t.Fatalf("there are %d costs; want those of two observers on three cells: %+v", len(r.ObserverCosts), r.ObserverCosts)
	}
	for _, c := range r.ObserverCosts {
		want, word := 1.2, stats.Slower
		if c.Observer == "cheap" {
			want, word = 1, stats.Same
		}
		if c.Wall == nil || math.Abs(c.Wall.Value-want) > .02 || c.Wall.N != 14 || math.Abs(c.CPU.Value-want) > .02 {
			t.Errorf("%s costs %s %+v of time and %+v of CPU; want %v from 14 rounds", c.Observer, c.Cell, c.Wall, c.CPU, want)
		}
		if c.Verdict.Word != word {
			t.Errorf("%s on %s is %q; want %q", c.Observer, c.Cell, c.Verdict.Word, word)
		}
	}
	lines := strings.Join(r.trustLines(), "\n")
	for _, want := range []string{"a dear observer adds 2", "slower on goroutines (+", "a <cheap> one adds", "nowhere is a difference shown"} {
		if !strings.Contains(lines, want) {
			t.Errorf("the report does not say %q:\n%s", want, lines)
		}
	}
}

// Observer trials change no figure but the costs of observing.
func TestCostsStayApart(t *testing.T) {
	with := judgedData()
	without := judgedData()
	keep(without, func(t results.Trial) bool { return t.Kind != results.ObserverTrial })
	a, b := Build(with), Build(without)
	if len(b.ObserverCosts) != 0 {
		t.Errorf("without such trials there are costs: %+v", b.ObserverCosts)
	}
	if d := cmp.Diff(b, a, cmpopts.IgnoreFields(Report{}, "ObserverCosts"), cmpopts.IgnoreUnexported(Report{})); d != "" {
		t.Errorf("the trials of kind cost change the report (-without +with):\n%s", d)
	}
}

func TestCostsOfFewRounds(t *testing.T) {
	d := testData()
	addObserverTrials(d, rand.New(rand.NewPCG(1, 1)), 3)
	r := Build(d)
	for _, c := range r.ObserverCosts {
		if c.Verdict.Word != stats.NoVerdict || c.Wall.Low != nil {
			t.Errorf("of 3 rounds there is a verdict or an interval: %+v", c)
		}
	}
	if lines := strings.Join(r.trustLines(), "\n"); !strings.Contains(lines, "There is no verdict on it: that takes 12 rounds") {
		t.Errorf("the report does not say that the rounds are too few:\n%s", lines)
	}
}

// A disturbed round of a cell is left out whole; the same round of other cells is
// not.
func TestCostsOfDisturbedRounds(t *testing.T) {
	d := judgedData()
	each(d, func(t *results.Trial) {
		if t.Kind == results.ObserverTrial && t.Cell == "mixed_cpu_100us-goroutines" && t.Round < 2 && t.Observer == "" {
			t.Load.BusyNS += 10 * t.Load.WindowNS
			t.WallNS *= 5
		}
	})
	for _, c := range Build(d).ObserverCosts {
		want := 14
		if c.Backend == "goroutines" {
			want = 12
		}
		if c.Kept != want || c.Rounds != 14 || c.Wall.N != want {
			t.Errorf("%s on %s rests on %d of %d rounds; want %d of 14", c.Observer, c.Cell, c.Kept, c.Rounds, want)
		}
	}
}

func TestCostText(t *testing.T) {
	low, high := 0.997, 1.011
	for want, e := range map[string]*Estimate{
		"–":                    nil,
		"+20 %":                {Value: 1.2},
		"+0.4 % (−0.3 to 1.1)": {Value: 1.004, Low: &low, High: &high},
		"−12 %":                {Value: .88},
		"0.0 %":                {Value: 1},
	} {
		if got := changeText(e); got != want {
			t.Errorf("changeText(%+v) = %q; want %q", e, got, want)
		}
	}
}
