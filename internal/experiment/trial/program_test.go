package trial

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/results"
)

// A scripted session says what it is called for, and fails when it is told to.
type scripted struct {
	calls  *[]string
	fails  string // what fails, at which time it is called: "run 2"
	counts map[string]int
	digest func(n int) string
}

func (s *scripted) call(what string) error {
	s.counts[what]++
	*s.calls = append(*s.calls, what)
	if s.fails == what+" "+string(rune('0'+s.counts[what])) {
		return errors.New("as it was told")
	}
	return nil
}

func (s *scripted) Warm(context.Context, *executor.Executor) error { return s.call("warm") }

func (s *scripted) Run(context.Context, *executor.Executor) error {
	for range 1000 { // so that the clock goes on
		s.counts["step"]++
	}
	return s.call("run")
}

func (s *scripted) Check() (harness.Outcome, error) {
	err := s.call("check")
	return harness.Outcome{Tasks: 1, Digest: s.digest(s.counts["check"])}, err
}

func (s *scripted) Close() error { return s.call("close") }

// programOf returns a program of that session, and what was called.
func programOf(s *scripted, least int64) (*program, *[]string) {
	s.calls, s.counts = new([]string), make(map[string]int)
	if s.digest == nil {
		s.digest = func(int) string { return "d" }
	}
	w := &harness.Workload{Name: "w", Open: func(context.Context, harness.Env) (harness.Session, error) { return s, s.call("open") }}
	return &program{workload: w, session: s, ends: newEnds(), least: least, measured: new(results.Measured)}, s.calls
}

// A timed trial warms up, measures and checks, and repeats all of it until it is
// long enough or something is wrong.
func TestPlain(t *testing.T) {
	const forever = math.MaxInt64
	once := "warm run check"
	tests := []struct {
		name   string
		s      scripted
		least  int64
		calls  string
		warmed bool
		err    string
	}{
		{"once", scripted{}, 0, once, true, ""},
		{"fails warming up", scripted{fails: "warm 1"}, forever, "warm", false, "warming up: as it was told"},
		{"fails", scripted{fails: "run 1"}, forever, "warm run", true, "as it was told"},
		{"is wrong", scripted{fails: "check 1"}, forever, once, true, "the output is wrong: as it was told"},
		{"fails in a repetition", scripted{fails: "run 3"}, forever, once + " open warm run check close open warm run close", true, "in repetition 2: as it was told"},
		{"fails to be set up again", scripted{fails: "open 1"}, forever, once + " open", true, "in repetition 1: as it was told"},
		{"fails to close", scripted{fails: "close 1"}, forever, once + " open warm run check close", true, "in repetition 1: as it was told"},
		{"differs", scripted{digest: func(n int) string { return string(rune('a' + n/2)) }}, forever, once + " open warm run check close", true, "the output of repetition 1 differs from the first: its digest is b, not a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, calls := programOf(&tt.s, tt.least)
			err := plain{}.observe(t.Context(), p)
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("observe() = %v; want %q", err, tt.err)
			}
			if got := strings.Join(*calls, " "); got != tt.calls || p.warmed != tt.warmed {
				t.Errorf("it called %s, and warmed is %v; want %s", got, p.warmed, tt.calls)
			}
		})
	}
}

// What is repeated is told as the mean of all times.
func TestRepeats(t *testing.T) {
	p, calls := programOf(&scripted{}, 1)
	p.measured.WallNS = 0
	if err := (plain{}).observe(t.Context(), p); err != nil || p.measured.Repeats != 0 {
		t.Errorf("a program that is long enough was repeated %d times, %v", p.measured.Repeats, err)
	}
	p.least = 3 * p.measured.WallNS
	*calls = nil
	if err := p.repeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.Join(*calls, " "), "run"); n+1 != p.measured.Repeats || n == 0 {
		t.Errorf("%d repetitions are told as %d", n, p.measured.Repeats)
	}
}

// An observer of a trial begins just before the measured part, and ends, whatever
// becomes of the program.
func TestObserved(t *testing.T) {
	for fails, want := range map[string]string{
		"":        "warm start run check stop",
		"warm 1":  "warm",
		"run 1":   "warm start run stop",
		"check 1": "warm start run check stop",
		"start 1": "warm start",
	} {
		s := &scripted{fails: fails}
		p, calls := programOf(s, 0)
		e := observed{observer: observer{start: func(observerOrder) (func() error, error) {
			return func() error { return s.call("stop") }, s.call("start")
		}}}
		if err := e.observe(t.Context(), p); (err == nil) != (fails == "") {
			t.Errorf("observe() = %v where %q fails", err, fails)
		}
		if got := strings.Join(*calls, " "); got != want {
			t.Errorf("where %q fails it called %s; want %s", fails, got, want)
		}
	}
}

// What a worker began last ends first, after what it has used was said.
func TestWorkerExit(t *testing.T) {
	var said []string
	w := &worker{exits: []func(send) error{func(send send) error { return send("spans", nil) }}}
	w.atExit(func() error {
		said = append(said, "stop")
		return errors.New("as it was told")
	})
	err := w.exit(func(topic string, _ []byte) error {
		said = append(said, topic)
		return nil
	})
	if got := strings.Join(said, " "); got != "usage stop spans" || err == nil {
		t.Errorf("exit() = %v after %s; want the error of what was stopped, after usage stop spans", err, got)
	}
	for _, request := range []string{requestUsage, requestAll, requestRuntime} {
		if b, err := w.control(request, nil); err != nil || len(b) == 0 {
			t.Errorf("control(%q) = %s, %v", request, b, err)
		}
	}
	for _, request := range []string{requestProfileStop, "nonsense"} {
		if _, err := w.control(request, nil); err == nil {
			t.Errorf("control(%q) gave no error", request)
		}
	}
}
