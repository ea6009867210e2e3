package profile

import (
	"context"
	"crypto/sha256"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness/internal/core"
)

// inline runs each call where it is submitted.
type inline struct{ obs *core.Observer }

func (e inline) Submit(_ context.Context, c *core.Call) {
	c.Enter(&core.Site{Observer: e.obs})
	c.Run(&core.Worker{Index: 1, PID: os.Getpid()})
}
func (inline) Close() error { return nil }
func (inline) Stop(error)   {}

var (
	sink []byte

	// burn computes for so much processor time, so that there are samples of it
	// however busy the machine is.
	burn = core.NewTask("burn", func(_ context.Context, d time.Duration) (int, error) {
		var mu sync.Mutex
		block := make([]byte, 1<<16)
		rounds := 0
		for start := ownCPU(); ownCPU()-start < d; rounds++ {
			sum := sha256.Sum256(block)
			copy(block, sum[:])
			sink = make([]byte, 1<<16)
		}
		// Something to wait for, for the mutex and block profiles.
		mu.Lock()
		var wg sync.WaitGroup
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
		})
		wg.Go(mu.Unlock)
		wg.Wait()
		return rounds, nil
	})
)

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// besides computes and allocates, and must not be found in a profile.
//
//go:noinline
func besides(d time.Duration) error {
	for start := time.Now(); time.Since(start) < d; {
		sink = make([]byte, 1<<18)
	}
	return nil
}

func collect(t *testing.T, labels Labels) Set {
	t.Helper()
	EarlySettings()
	stop, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(); err == nil {
		t.Error("a second Start while one is under way gave no error")
	}
	if _, err := burn.Submit(t.Context(), inline{labels.Observer()}, 300*time.Millisecond).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := Exclude(func() error { return besides(300 * time.Millisecond) }); err != nil {
		t.Fatal(err)
	}
	if _, err := burn.Submit(t.Context(), inline{labels.Observer()}, 50*time.Millisecond).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, err := stop()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := stop(); err != nil || len(again) != len(set) {
		t.Errorf("stopping twice gives %d profiles, %v; want the same", len(again), err)
	}
	return set
}

func parse(t *testing.T, b []byte) *profile.Profile {
	t.Helper()
	p, err := profile.ParseData(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCollect(t *testing.T) {
	set := collect(t, Labels{Workload: "w", Backend: "b"})
	for _, kind := range Kinds {
		p := parse(t, set[kind])
		for _, s := range p.Sample {
			for _, l := range s.Location {
				for _, line := range l.Line {
					if strings.HasSuffix(line.Function.Name, ".besides") {
						t.Errorf("the %s profile has %v of what was excluded", kind, s.Value)
					}
				}
			}
		}
		if len(p.Sample) == 0 && kind != "mutex" && kind != "block" {
			t.Errorf("the %s profile is empty", kind)
		}
	}
	cpu := parse(t, set["cpu"])
	labelled := 0
	for _, s := range cpu.Sample {
		if slices.Equal(s.Label["task"], []string{"burn"}) && slices.Equal(s.Label["workload"], []string{"w"}) && slices.Equal(s.Label["backend"], []string{"b"}) &&
			slices.Equal(s.Label["worker"], []string{"1"}) {
			labelled++
		}
	}
	if labelled == 0 {
		t.Errorf("none of %d CPU samples says which task, workload and backend it is from", len(cpu.Sample))
	}
}

// Every sample of a merged profile of every kind names its process, its cell and
// its worker, as far as that can be known.
func TestMergedTags(t *testing.T) {
	set := collect(t, Labels{Workload: "w", Backend: "b"})
	for _, tt := range []struct {
		name      string
		processes []string
		workers   map[string]string // process -> what its samples without a label are of; "" for that of the kind
	}{
		{"goroutines", []string{"trial"}, map[string]string{"trial": ""}},
		{"processes", []string{"trial", "worker-0", "worker-11"}, map[string]string{"trial": "none", "worker-0": "0", "worker-11": "11"}},
	} {
		for _, kind := range Kinds {
			var parts []Part
			for _, p := range tt.processes {
				parts = append(parts, Part{p, set})
			}
			b, err := Merge(kind, "cell", parts)
			if err != nil {
				t.Fatal(err)
			}
			carries := kind == "cpu" || kind == "goroutine"
			seen := make(map[string]bool)
			for _, s := range parse(t, b).Sample {
				process, worker := s.Label["process"], s.Label["worker"]
				if len(process) != 1 || len(worker) != 1 || !slices.Equal(s.Label["cell"], []string{"cell"}) {
					t.Fatalf("%s: a %s sample has the labels %v; want one process, one worker and the cell", tt.name, kind, s.Label)
				}
				seen[process[0]] = true
				want := tt.workers[process[0]]
				if want == "" {
					want = map[bool]string{true: "none", false: "unknown"}[carries]
				}
				if of := s.Label["workload"]; len(of) > 0 {
					want = "1" // it was labelled while a task ran, or between two
				}
				if worker[0] != want {
					t.Errorf("%s: a %s sample of %s with the labels %v is of worker %s; want %s", tt.name, kind, process[0], s.Label, worker[0], want)
				}
			}
			if empty := kind == "mutex" || kind == "block"; len(seen) != len(tt.processes) && !empty {
				t.Errorf("%s: the %s samples are of %v; want %v", tt.name, kind, seen, tt.processes)
			}
		}
	}
}

func TestMerge(t *testing.T) {
	set := collect(t, Labels{Workload: "w", Backend: "b"})
	one := parse(t, set["cpu"])
	parts := []Part{{"trial", set}, {"worker-0", set}}
	b, err := Merge("cpu", "w-b-w2", parts)
	if err != nil {
		t.Fatal(err)
	}
	both := parse(t, b)
	total := func(p *profile.Profile) (n int64) {
		for _, s := range p.Sample {
			n += s.Value[0]
		}
		return n
	}
	if total(both) != 2*total(one) {
		t.Errorf("merged, there are %d samples; want %d twice", total(both), total(one))
	}
	if both.DurationNanos != one.DurationNanos {
		t.Errorf("merged, the profile lasts %d ns; want %d: the processes ran at the same time", both.DurationNanos, one.DurationNanos)
	}
	processes := make(map[string]bool)
	for _, s := range both.Sample {
		for _, p := range s.Label["process"] {
			processes[p] = true
		}
		if !slices.Equal(s.Label["cell"], []string{"w-b-w2"}) {
			t.Fatalf("a sample is of cell %v", s.Label["cell"])
		}
	}
	if !processes["trial"] || !processes["worker-0"] {
		t.Errorf("the samples are of %v; want both processes", processes)
	}
	if _, err := Merge("cpu", "c", []Part{{"trial", Set{"cpu": []byte("no profile")}}}); err == nil {
		t.Error("merging what is no profile gave no error")
	}
}

func TestUsage(t *testing.T) {
	before, err := ReadUsage()
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		sink = make([]byte, 1<<20)
	}
	after, err := ReadUsage()
	if err != nil {
		t.Fatal(err)
	}
	used := after.Since(before)
	if used.UserNS+used.SystemNS <= 0 || used.MaxRSSBytes < 1<<20 || used.GCCycles < 0 {
		t.Errorf("20 ms of work used %+v", used)
	}
	sum := used.Plus(used)
	if sum.UserNS != 2*used.UserNS || sum.MaxRSSBytes != 2*used.MaxRSSBytes {
		t.Errorf("%+v and itself are %+v", used, sum)
	}
}
