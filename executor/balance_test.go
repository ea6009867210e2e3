package executor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

// A stint is an input that takes some time and ends in some way. ran counts how
// often it was run.
type stint struct {
	n   int
	d   time.Duration
	end ending
	ran *atomic.Int64
}

type ending int

const (
	endsWell ending = iota
	endsBadly
	endsInPanic
	endsGoroutine
)

var stints = executor.NewTask("executor.stints", func(_ context.Context, s stint) (int, error) {
	s.ran.Add(1)
	if s.d > 0 {
		<-time.After(s.d)
	}
	switch s.end {
	case endsBadly:
		return 0, errMine
	case endsInPanic:
		panic("a stint")
	case endsGoroutine:
		runtime.Goexit()
	}
	return s.n + 1, nil
})

// mapping is Map or MapUnordered.
type mapping func(context.Context, *executor.Executor, *executor.Task[stint, int], iter.Seq[stint], executor.MapOptions) iter.Seq2[int, error]

var mappings = map[string]mapping{"Map": ordered[stint, int], "MapUnordered": unordered[stint, int]}

// took maps inputs on goroutines and returns how much time passed in the bubble.
// Every input must have been run once and have its own result once, in order if
// it is to be.
func took(t *testing.T, name string, workers int, in []stint, opt executor.MapOptions) time.Duration {
	t.Helper()
	ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	ran := make([]atomic.Int64, len(in))
	start := time.Now()
	var got []string
	for v, err := range mappings[name](t.Context(), ex, stints, func(yield func(stint) bool) {
		for i, s := range in {
			s.n, s.ran = i, &ran[i]
			if !yield(s) {
				return
			}
		}
	}, opt) {
		got = append(got, resultOf(v, err))
	}
	passed := time.Since(start)
	var want []string
	for i, s := range in {
		if n := ran[i].Load(); n != 1 {
			t.Fatalf("%s(%+v) ran input %d of %d %d times", name, opt, i, len(in), n)
		}
		want = append(want, [...]string{fmt.Sprint(i + 1), "failed", "panicked: a stint", "panicked: runtime.Goexit was called"}[s.end])
	}
	if name == "MapUnordered" {
		slices.Sort(got)
		slices.Sort(want)
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("%s(%+v) gave %d results of %d, the first wrong one is %d: %q; want %q", name, opt, len(got), len(in), i, got[i:min(i+1, len(got))], want[i])
		}
	}
	if len(got) > len(want) {
		t.Fatalf("%s(%+v) gave %d results of %d", name, opt, len(got), len(want))
	}
	return passed
}

func resultOf(v int, err error) string {
	var p *executor.PanicError
	switch {
	case errors.As(err, &p):
		return "panicked: " + p.Value
	case errors.Is(err, errMine):
		return "failed"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprint(v)
}

// However short and long inputs follow each other, portions that are adapted
// take no longer than one input at a time does, beside a tenth and the time
// until the first is taken for late.
func TestMapBalances(t *testing.T) {
	const short, long = 0, 50 * time.Millisecond
	run := func(n int, d time.Duration) []stint { return slices.Repeat([]stint{{d: d}}, n) }
	tests := []struct {
		name    string
		workers int
		in      []stint
	}{
		{"64 long ones at the end", 8, slices.Concat(run(20_000, short), run(64, long))},
		{"100 long ones at the end, 2 workers", 2, slices.Concat(run(60_000, short), run(100, long))},
		{"4 long ones at the end", 8, slices.Concat(run(50_000, short), run(4, long))},
		{"one long one at the end", 8, slices.Concat(run(5_000, short), run(1, long))},
		{"long ones first", 8, slices.Concat(run(64, long), run(20_000, short))},
		{"long ones in the middle", 8, slices.Concat(run(20_000, short), run(64, long), run(20_000, short))},
		{"two heaps of long ones", 4, slices.Concat(run(20_000, short), run(40, long), run(20_000, short), run(40, long))},
		{"in turns", 4, slices.Repeat([]stint{{d: short}, {d: long}}, 200)},
		{"one in a hundred", 4, slices.Repeat(slices.Concat(run(99, short), run(1, long)), 200)},
		{"longer and longer", 4, slices.Concat(run(20_000, short), run(400, time.Millisecond), run(40, long))},
		{"all long", 3, run(100, long)},
		{"one worker", 1, slices.Concat(run(5_000, short), run(10, long))},
	}
	for _, tt := range tests {
		for name := range mappings {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					single := took(t, name, tt.workers, tt.in, executor.MapOptions{Chunk: 1})
					auto := took(t, name, tt.workers, tt.in, executor.MapOptions{})
					t.Logf("%v, one at a time %v", auto, single)
					if most := single + single/10 + 3*time.Millisecond; auto > most {
						t.Errorf("it took %v, and one at a time %v; want at most %v", auto, single, most)
					}
				})
			})
		}
	}
}

// The same with inputs that take any time and end in any way, in any order. What
// is at the end may take one of the longest more.
func TestMapBalancesAnyMix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		var in []stint
		for range 1 + rng.IntN(6) {
			d := []time.Duration{0, 0, 10 * time.Microsecond, time.Millisecond, 50 * time.Millisecond}[rng.IntN(5)]
			n := rng.IntN(1 + min(5000, int(2*time.Second/max(d, 1))))
			in = append(in, slices.Repeat([]stint{{d: d}}, n)...)
		}
		if rng.IntN(3) == 0 {
			rng.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		}
		for range rng.IntN(20) {
			if len(in) > 0 {
				in[rng.IntN(len(in))].end = ending(rng.IntN(4))
			}
		}
		workers := 1 + rng.IntN(8)
		opt := executor.MapOptions{}
		if rng.IntN(4) == 0 {
			opt.Ahead = 1 + rng.IntN(1000)
		}
		for name := range mappings {
			t.Run(fmt.Sprint(name, " of ", len(in), " on ", workers, " ahead ", opt.Ahead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					auto := took(t, name, workers, in, opt)
					single := took(t, name, workers, in, executor.MapOptions{Chunk: 1, Ahead: opt.Ahead})
					t.Logf("%v, one at a time %v", auto, single)
					if most := single + single/10 + 55*time.Millisecond; auto > most {
						t.Errorf("it took %v, and one at a time %v; want at most %v", auto, single, most)
					}
				})
			})
		}
	}
}

// Inputs that come slowly, after many that come fast, are run as they come.
func TestMapOfASourceThatTurnsSlow(t *testing.T) {
	const fast, slow = 30_000, 20
	for name, mapping := range mappings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer ex.Close()
				var ran atomic.Int64
				in := func(yield func(stint) bool) {
					for i := range fast + slow {
						if i >= fast {
							<-time.After(50 * time.Millisecond)
						}
						if waits := int64(i) - ran.Load(); i > fast && waits > 1 {
							t.Errorf("before input %d comes, %d before it have not been run; want at most one", i, waits)
						}
						if !yield(stint{n: i, ran: &ran}) {
							return
						}
					}
				}
				for _, err := range mapping(t.Context(), ex, stints, in, executor.MapOptions{}) {
					if err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
