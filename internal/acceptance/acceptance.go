// Package acceptance is for tests of claims that only real time can decide, such
// as that an amount of time is found again where it was spent. Those tests are
// called TestAcceptance…, and this is the rule, which [Decide] applies:
//
//  1. A try says what the machine must give ([Try.Needs]), and what must hold on
//     any machine comes before it says [Try.Measured]. A failure there is a failure
//     of the test.
//  2. After that a success decides, wherever it happens: the test has passed.
//  3. A failure after that counts if the machine gave what the try needs: measured
//     before and after, and other programs meanwhile. Three that count are a failure
//     of the test.
//  4. There are at most five tries, and none begins later than a minute after the
//     first. What is undecided then is skipped as "not decided here", with what the
//     machine was like at each try.
//
// So a busy machine does not make a test fail, and a quiet one does not hide a fault
// that is there every time. One that is there every other time is found in one of
// eight runs: such claims belong before Measured, or into a simulation.
package acceptance

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/machine"
)

const (
	mostTries    = 5
	mostFailures = 3
	mostTime     = time.Minute // in which tries begin
)

// A Need is what a try wants of the machine. The zero value wants nothing.
type Need struct {
	Cores  float64       // that work at once, at least
	Timers time.Duration // nine of ten timers are late by at most this
	Others float64       // share of the machine that other programs may use
}

// A Try is one try of a claim. Its methods are for the goroutine that it was
// given to.
type Try struct {
	look           func() given
	log            strings.Builder
	failed         bool
	measured       bool
	skipped        string // why the claim is not for this system
	undecided      string // why the try says nothing
	need           Need
	before, after  given
	others         float64 // share that other programs used meanwhile
	othersAreKnown error   // or why they are not
}

// Decide tries until the rule decides, and fails, skips or passes the test by it.
// It skips it with -short, and with the race detector, which changes what takes
// how long. Tests that call it must not be parallel.
func Decide(t *testing.T, f func(*Try)) {
	t.Helper()
	if testing.Short() {
		t.Skip("measures real time")
	}
	if raceDetector() {
		t.Skip("the race detector changes what takes how long")
	}
	var tries []outcome
	for began := time.Now(); ; {
		try := &Try{look: look}
		try.run(f)
		tries = append(tries, try.outcome())
		switch verdict, why := judge(tries, time.Since(began)); verdict {
		case passed:
			t.Logf("decided at try %d: %v", len(tries), try.before)
			return
		case failed:
			t.Fatalf("%s:\n%s", why, try.log.String())
		case notDecided:
			t.Logf("the last try:\n%s", try.log.String())
			t.Skipf("%s: not decided here: %s", t.Name(), why)
		}
		t.Logf("try %d:\n%s", len(tries), try.log.String())
	}
}

// Needs says what the machine must give for a failure to count.
func (t *Try) Needs(n Need) { t.need = n }

// Measured says that what fails from here on may be the machine's doing.
func (t *Try) Measured() { t.measured = true }

// Undecided ends the try, which says nothing about the claim.
func (t *Try) Undecided(why string) {
	t.undecided = why
	t.FailNow()
}

// Skip ends the test: the claim is not for this system.
func (t *Try) Skip(args ...any) {
	t.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

// Log keeps a line for the case that the try fails.
func (t *Try) Log(args ...any) { fmt.Fprintln(&t.log, args...) }

// FailNow ends the try, which has failed.
func (t *Try) FailNow() {
	t.failed = true
	runtime.Goexit()
}

// Fatal is Log and FailNow.
func (t *Try) Fatal(args ...any) {
	t.Log(args...)
	t.FailNow()
}

// run makes the try.
func (t *Try) run(f func(*Try)) {
	t.before = t.look()
	load, err1 := machine.This.ReadLoad()
	own, err2 := machine.OwnCPU()
	done := make(chan struct{})
	go func() { // waited for at once: it is there for Goexit
		defer close(done)
		f(t)
	}()
	<-done
	if t.othersAreKnown = errors.Join(err1, err2); t.othersAreKnown == nil {
		t.others, t.othersAreKnown = othersSince(load, own)
	}
	if t.failed {
		t.after = t.look()
	}
}

// unfit returns what the machine did not give that the try needs, if there is
// something.
func (t *Try) unfit() string {
	if t.othersAreKnown != nil {
		return fmt.Sprintf("what other programs did is not known: %v", t.othersAreKnown)
	}
	if t.need.Others > 0 && t.others > t.need.Others {
		return fmt.Sprintf("other programs used %.0f %% of the machine; at most %.0f %% were wanted", 100*t.others, 100*t.need.Others)
	}
	for _, g := range []given{t.before, t.after} {
		if g.cores < t.need.Cores {
			return fmt.Sprintf("%.2f cores did work at once; %.2f were wanted", g.cores, t.need.Cores)
		}
		if t.need.Timers > 0 && g.late > t.need.Timers {
			return fmt.Sprintf("timers were %v late; at most %v were wanted", g.late, t.need.Timers)
		}
	}
	return ""
}

// An outcome is what the rule asks of a try.
type outcome struct {
	skipped, undecided string
	failed, measured   bool
	unfit              string // what the machine did not give
	machine            string
}

func (t *Try) outcome() outcome {
	o := outcome{skipped: t.skipped, undecided: t.undecided, failed: t.failed, measured: t.measured, machine: t.before.String()}
	if t.failed {
		o.unfit = t.unfit()
	}
	return o
}

// A verdict is what tries have come to.
type verdict int

const (
	tryAgain verdict = iota
	passed
	failed
	notDecided
)

// judge applies the rule to tries, the first of which began so long ago.
func judge(tries []outcome, since time.Duration) (v verdict, why string) {
	var reasons []string
	failures := 0
	for i, t := range tries {
		switch {
		case t.skipped != "":
			return notDecided, t.skipped
		case t.failed && !t.measured && t.undecided == "":
			return failed, "this does not depend on the machine"
		case !t.failed:
			return passed, ""
		case t.unfit != "":
			reasons = append(reasons, fmt.Sprintf("try %d: %s", i+1, t.unfit))
		case t.undecided != "":
			reasons = append(reasons, fmt.Sprintf("try %d: %s", i+1, t.undecided))
		default:
			failures++
			reasons = append(reasons, fmt.Sprintf("try %d: failed with %s", i+1, t.machine))
		}
	}
	switch {
	case failures >= mostFailures:
		return failed, fmt.Sprintf("it failed %d times on a machine that gave what it needs", failures)
	case len(tries) >= mostTries, since >= mostTime:
		return notDecided, strings.Join(reasons, "; ")
	}
	return tryAgain, ""
}

// given is what the machine gives.
type given struct {
	cores float64       // that work at once
	late  time.Duration // nine of ten timers are less late
}

func (g given) String() string {
	return fmt.Sprintf("%.2f of %d cores at once, timers %v late", g.cores, runtime.NumCPU(), g.late.Round(time.Microsecond))
}

// look measures the machine, for a third of a second.
func look() given {
	n := runtime.NumCPU()
	var cores []float64
	for range 3 {
		alone, together := machine.Capacity(n)
		cores = append(cores, float64(n)*float64(alone)/float64(together))
	}
	slices.Sort(cores)
	var late []time.Duration
	for range 50 {
		const wait = time.Millisecond
		began := time.Now()
		<-time.After(wait)
		late = append(late, time.Since(began)-wait)
	}
	slices.Sort(late)
	return given{cores[len(cores)/2], late[len(late)*9/10]}
}

// othersSince returns the share of the machine that other programs have used.
func othersSince(then machine.Load, own time.Duration) (float64, error) {
	now, err := machine.This.ReadLoad()
	if err != nil {
		return 0, err
	}
	ownNow, err := machine.OwnCPU()
	if err != nil {
		return 0, err
	}
	all := float64(now.At.Sub(then.At)) * float64(runtime.NumCPU())
	return max(0, float64((now.Busy-then.Busy)-(ownNow-own))) / all, nil
}

func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
