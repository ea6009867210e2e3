package harness_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/cli"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

var update = flag.Bool("update", false, "rewrite what the scripts expect with cmp, and the canned run if it has to be")

// The commands of the scripts: harness, and harness with a workload that makes
// trouble. All are this test program, started again, workers included.
func TestMain(m *testing.M) {
	testscript.Main(ending{m}, map[string]func(){
		"harness":         func() { cli.Main() },
		"trouble-harness": func() { cli.Main(&trouble) },
		"inject-harness":  func() { cli.Main(&inject) },
		"sick-harness":    func() { cli.Main(&sick) },
		"spin":            spin,
	})
}

// atEnd is called when all tests are over.
var atEnd []func()

// ending runs tests and what is to be done afterwards.
type ending struct{ m *testing.M }

func (e ending) Run() int {
	code := e.m.Run()
	for _, f := range atEnd {
		f()
	}
	return code
}

// Commands that make no trial, on a run that was made before.
func TestScripts(t *testing.T) { testscript.Run(t, scripts("script")) }

// Commands that make real trials. What they assert does not depend on how long
// anything takes; for that there is [TestAcceptance].
func TestTrials(t *testing.T) {
	if testing.Short() {
		t.Skip("makes real trials, for minutes")
	}
	testscript.Run(t, scripts("trial"))
}

// spin is a program that uses half of the processors until it is killed, or who
// started it has ended.
func spin() {
	for range (runtime.NumCPU() + 1) / 2 {
		go func() {
			for {
				runtime.KeepAlive(0)
			}
		}()
	}
	for parent := os.Getppid(); os.Getppid() == parent; {
		<-time.After(time.Second)
	}
}

// What the example of a gate expects can be asserted.
func TestGateExample(t *testing.T) {
	b, err := os.ReadFile("examples/github-actions/expected")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		n++
		if _, err := report.ParseAssertion(line); err != nil {
			t.Error(err)
		}
	}
	if n == 0 {
		t.Error("the example expects nothing")
	}
}

// A program outside of this module brings a workload of its own and gets the
// whole command line, worker processes included.
func TestOwnWorkload(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program and makes real trials")
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/own", ".")
	build.Dir = "examples/ownworkload"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the example: %v\n%s", err, out)
	}
	run := exec.Command(dir+"/own", "run", "--workloads", "collatz,sqrt", "--param", "collatz.below=50000", "--param", "sqrt.n=100000", "--backends", "processes", "--rounds", "2", "--out", dir+"/out")
	var stdout, stderr strings.Builder
	run.Stdout, run.Stderr = &stdout, &stderr
	if err := run.Run(); err != nil {
		t.Fatalf("running it: %v\n%s", err, stderr.String())
	}
	for _, want := range []string{"collatz", "sqrt", "processes", "yes"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, stdout.String())
		}
	}
	if strings.Contains(stdout.String(), " no (") {
		t.Errorf("not everything was verified:\n%s", stdout.String())
	}
	bad := exec.Command(dir+"/own", "run", "--param", "collatz.below=1")
	if out, err := bad.CombinedOutput(); err == nil || !strings.Contains(string(out), "below is 1") {
		t.Errorf("a parameter that the workload refuses gave %v:\n%s", err, out)
	}
}

// cannedRun is a run that commands are tested on. It was made of small.yaml
// beside it, and then left without what can be made again from it.
const cannedRun = "testdata/runs/small"

// The canned run is one that this version would make: every record is known, to
// the last field. go test . -run TestCannedRun -update makes it again.
func TestCannedRun(t *testing.T) {
	err := knownRun(cannedRun)
	if err != nil && *update {
		makeCannedRun(t)
		err = knownRun(cannedRun)
	}
	if err != nil {
		t.Errorf("%v; make it again with go test . -run TestCannedRun -update", err)
	}
}

// knownRun reads every record of a run, strictly.
func knownRun(dir string) error {
	if _, err := results.Read(dir); err != nil {
		return err
	}
	files := map[string]func(*json.Decoder) error{
		results.RunFile:                 known[results.Run],
		results.TrialsFile:              known[results.Trial],
		results.TimelinesFile:           known[results.Timeline],
		results.LedgerFile:              known[results.Ledger],
		results.LedgerDir + "/*.ndjson": known[results.LedgerTask],
	}
	for pattern, read := range files {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("%s has no %s", dir, pattern)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := read(d); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// known reads records of a type until the end.
func known[T any](d *json.Decoder) error {
	for {
		if err := d.Decode(new(T)); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func makeCannedRun(t *testing.T) {
	t.Helper()
	program, out := filepath.Join(t.TempDir(), "harness"), filepath.Join(t.TempDir(), "run")
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-o", program, "./cmd/harness"}, // its profiles name no folder of this machine
		{program, "run", cannedRun + ".yaml", "--out", out, "--progress", "none"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{results.ChartsDir, results.BenchFile, results.MetricsFile, results.HTMLFile, results.MDFile, results.ResultsFile, results.CSVFile} {
		if err := os.RemoveAll(filepath.Join(out, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.RemoveAll(cannedRun), os.CopyFS(cannedRun, os.DirFS(out))); err != nil {
		t.Fatal(err)
	}
}
