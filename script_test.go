package harness_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// A verb is a command of the scripts beside those that testscript has.
type verb struct {
	use string // how it is written: [optional], … for more; ! if it is negated, [!] if it may be
	doc string
	do  func(ts *testscript.TestScript, neg bool, args []string)
}

// verbs are all of them. Their arguments are counted before they are called.
var verbs = []verb{
	{"exits CODE[,CODE] COMMAND [ARG …]", "runs a command, which must end with that exit code, or one of those if that depends on the machine", exits},
	{"lines FILE N", "waits until the file has at least N lines", lines},
	{"address FILE VARIABLE", "waits until the file has a URL of this machine in it, and puts its host and port into the variable", address},
	{"says URL|FILE REGEXP", "waits until the file, or what the URL answers with, has a line like that", says},
	{"nobody VARIABLE …", "puts ports into the variables on which nobody listens, and cannot until the script ends", nobody},
	{"ports VARIABLE …", "puts ports into the variables on which nobody listens, for a server that cannot be told to choose", ports},
	{"gobuild PACKAGE FILE", "builds a program of this module", goBuild},

	{"canned DIR [RUN]", "copies a run that is in this repository: that of testdata/runs/small, unless another is named", canned},
	{"shared DIR", "copies the run that all scripts share, which is made when it is first asked for, with what it said as stdout and stderr", shared},
	{"record DIR OTHERS [GOROUTINES_MS]", "writes the records of twenty rounds with known times, beside other programs that used OTHERS hundredths of a core", record},

	{"killwaiting", "waits for a task of the workload trouble that waits to be killed (mode=wait), and kills its process", killWaiting},
	{"! children", "waits until no process of this script is left", children},

	{"receiver [traces]", "starts an OTLP receiver, of all signals or of traces alone, and puts its URL into $RECEIVER and $RECEIVER_PORT", startReceiver},
	{"[!] received [metrics]", "checks that the receiver got spans, or what is named, and forgets it", received},
	{"receives [metrics]", "waits until it has", receives},
	{"injaeger URL DIR", "holds what a Jaeger has against the run: one trace a trial and one of the run, nothing missing, changed or warned of", inJaeger},
	{"prometheus VARIABLE METRICS EXECUTOR", "starts a Prometheus that reads from these two addresses, and puts its own into the variable", startPrometheus},
	{"panels URL DASHBOARD [VARIABLE=VALUE …]", "asks Prometheus what each panel and variable of a dashboard would; each must have data", panels},
	{"exemplars URL METRIC", "checks that Prometheus has exemplars of a metric, each with a trace", exemplars},

	{"taskspan DIR CELL", "puts the id of the span of the cell's first task into $SPAN", taskSpan},
	{"sampled DIR CELL", "puts the id of the span that most CPU samples of a worker process name into $SPAN", sampled},
	{"tagged DIR CELL PROCESS …", "checks that the profiles of the cell are those of the processes, and that each sample says of which process and worker it is", tagged},
	{"crawl URL JAEGER DIR", "follows every link of the profile pages; each must lead somewhere, those to Jaeger to the cell's trace", crawl},
	{"perfetto FILE DIR", "reads back what was exported for Perfetto, strictly, and holds it against the run", perfetto},
	{"lossless DIR CELL WORKERS", "checks that every process of the cell's traced trial has all its spans, that there were so many workers, and that every task ended", lossless},
	{"conserves DIR", "checks that no time is lost or invented between the records of the run", conserves},
	{"recovers DIR", "holds the ledgers of a run of inject against what its tasks say that they spent", recovers},
	{"finds DIR CELL RULE FUNCTION", "checks that the cell has the finding, with numbers, a span, that function, and a command that shows it", finds},
	{"nofindings DIR", "checks that nothing was found in the programs", noFindings},

	{"needs cores=N|timers=DURATION|others=SHARE …", "says what the machine must give for a failure to count: cores that work at once, how late timers may be, and what other programs may use of all of it (TestAcceptance)", needs},
	{"measured", "what fails from here on may be the machine's doing (TestAcceptance)", fromHereMeasured},
	{"decides COMMAND [ARG …]", "runs a command; if its exit code says that too little was measured, so is this try (TestAcceptance)", decides},
}

// name returns what the verb is called, and whether it must and may be negated.
func (v verb) name() (name string, must, may bool) {
	fields := strings.Fields(v.use)
	switch fields[0] {
	case "!":
		return fields[1], true, true
	case "[!]":
		return fields[1], false, true
	}
	return fields[0], false, false
}

// takes reports whether a verb takes so many arguments.
func (v verb) takes(n int) bool {
	name, _, _ := v.name()
	_, args, _ := strings.Cut(v.use+" ", name+" ")
	least, most, optional := 0, 0, 0
	for field := range strings.FieldsSeq(args) {
		optional += strings.Count(field, "[") // CODE[,CODE] is one
		switch {
		case strings.Contains(field, "…"):
			most = 1 << 20
		case optional > 0 && (field[0] == '[' || !strings.Contains(field, "[")):
			most++
		default:
			least++
			most++
		}
		optional -= strings.Count(field, "]")
	}
	return least <= n && n <= most
}

func (v verb) call(ts *testscript.TestScript, neg bool, args []string) {
	if _, must, may := v.name(); neg && !may || !neg && must || !v.takes(len(args)) {
		ts.Fatalf("usage: %s\n%s", v.use, v.doc)
	}
	v.do(ts, neg, args)
}

// scripts returns how the scripts of a folder are run.
func scripts(dir string) testscript.Params {
	p := testscript.Params{
		Dir:           filepath.Join("testdata", dir),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // children end at once
			env.Setenv("GOCACHE", os.Getenv("GOCACHE"))
			if cache, err := os.UserCacheDir(); err == nil {
				env.Setenv("XDG_CACHE_HOME", cache) // where the servers are
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			env.Setenv("HARNESS", self)
			env.Values[batches{}] = new(requests)
			return nil
		},
		Cmds:      make(map[string]func(*testscript.TestScript, bool, []string)),
		Condition: condition,
	}
	for _, v := range verbs {
		name, _, _ := v.name()
		p.Cmds[name] = v.call
	}
	return p
}

// condition decides those conditions of the scripts that testscript does not
// know: [pprof], [prometheus:otlp], [server:NAME].
func condition(cond string) (bool, error) {
	if cond == "pprof" {
		return exec.Command("go", "tool", "-n", "pprof").Run() == nil, nil
	}
	if cond == "prometheus:otlp" {
		return takesOTLP()
	}
	if name, ok := strings.CutPrefix(cond, "server:"); ok {
		path, err := serverPath(name)
		return path != "", err
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// canned copies the canned run, or another one.
func canned(ts *testscript.TestScript, _ bool, args []string) {
	run := append(args, cannedRun)[1]
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(run)))
}

// A sharedRun is one that several scripts look at.
type sharedRun struct{ dir, stdout, stderr string }

// theSharedRun is made once for this test program, which removes it when it ends.
var theSharedRun = sync.OnceValues(func() (r sharedRun, err error) {
	if r.dir, err = os.MkdirTemp("", "harness-shared-*"); err != nil {
		return r, err
	}
	atEnd = append(atEnd, func() { _ = os.RemoveAll(r.dir) })
	spec, err := filepath.Abs("testdata/trial/shared.yaml")
	if err != nil {
		return r, err
	}
	var stdout, stderr strings.Builder
	cmd := exec.Command("harness", "run", spec, "--out", "out")
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, &stdout, &stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/no-home", "TMPDIR=" + r.dir, "GORACE=atexit_sleep_ms=0"}
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("making the run that scripts share: %w\n%s", err, stderr.String())
	}
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r, nil
})

// shared copies the run that scripts share.
func shared(ts *testscript.TestScript, _ bool, args []string) {
	r, err := theSharedRun()
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(filepath.Join(r.dir, "out"))))
	fmt.Fprint(ts.Stdout(), r.stdout)
	fmt.Fprint(ts.Stderr(), r.stderr)
}

var ownURL = regexp.MustCompile(`https?://((?:127\.0\.0\.1|localhost|\[::1\]):[1-9][0-9]*)[^0-9]`)

// address waits for a server to say where it is.
func address(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0]+" to have a URL", func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return false
		}
		m := ownURL.FindSubmatch(b)
		if m == nil {
			return false
		}
		ts.Setenv(args[1], string(m[1]))
		return true
	})
}

// nobody takes ports without listening on them.
func nobody(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		ts.Check(err)
		syscall.CloseOnExec(fd)
		ts.Defer(func() { _ = syscall.Close(fd) })
		ts.Check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		at, err := syscall.Getsockname(fd)
		ts.Check(err)
		ts.Setenv(name, strconv.Itoa(at.(*syscall.SockaddrInet4).Port))
	}
}

// exits runs a command and compares its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if want := args[0]; !slices.Contains(strings.Split(want, ","), strconv.Itoa(code)) {
		ts.Fatalf("%s ended with exit code %d; want %s", strings.Join(args[1:], " "), code, want)
	}
}

// until calls done until it reports true, for two minutes at most.
func until(ts *testscript.TestScript, what string, done func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !done(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("waited for two minutes for %s", what)
		}
	}
}

// lines waits until a file has at least that many lines.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	until(ts, strings.Join(args, " "), func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && bytes.Count(b, []byte("\n")) >= n
	})
}

// children waits until there are no processes that were started in one of our
// roles with the script's own work directory in their environment.
func children(ts *testscript.TestScript, _ bool, _ []string) {
	until(ts, "all processes to end", func() bool {
		environs, err := filepath.Glob("/proc/[0-9]*/environ")
		ts.Check(err)
		return !slices.ContainsFunc(environs, func(name string) bool {
			b, err := os.ReadFile(name)
			return err == nil && bytes.Contains(b, []byte("WORK="+ts.Getenv("WORK")+"\x00")) && bytes.Contains(b, []byte("HARNESS_ROLE="))
		})
	})
}

// killWaiting kills the process that has said that it waits for that.
func killWaiting(ts *testscript.TestScript, _ bool, _ []string) {
	until(ts, "a task to wait", func() bool {
		b, err := os.ReadFile(ts.MkAbs(waitingFile))
		if err != nil {
			return false
		}
		pid, err := strconv.Atoi(string(b))
		return err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
}

// batches is the key of how many requests a script's receiver got, by signal:
// scripts run side by side, each with its own.
type batches struct{}

type requests struct{ traces, metrics atomic.Int64 }

// startReceiver starts an OTLP receiver, of all signals or of traces alone.
func startReceiver(ts *testscript.TestScript, _ bool, args []string) {
	n := ts.Value(batches{}).(*requests)
	n.traces.Store(0)
	n.metrics.Store(0)
	all := len(args) == 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPost: // as real ones do
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path == "/v1/traces" && r.ContentLength > 0:
			n.traces.Add(1)
		case r.URL.Path == "/v1/metrics" && r.ContentLength > 0 && all:
			n.metrics.Add(1)
		default:
			http.NotFound(w, r)
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("RECEIVER", srv.URL)
	ts.Setenv("RECEIVER_PORT", srv.URL[strings.LastIndexByte(srv.URL, ':')+1:])
}

// counted returns how many requests of a signal the script's receiver got.
func counted(ts *testscript.TestScript, args []string) *atomic.Int64 {
	n := ts.Value(batches{}).(*requests)
	switch strings.Join(args, " ") {
	case "":
		return &n.traces
	case "metrics":
		return &n.metrics
	}
	ts.Fatalf("want metrics, or nothing for spans; got %q", args)
	return nil
}

// received checks that the script's receiver got something, and forgets it.
func received(ts *testscript.TestScript, neg bool, args []string) {
	if n := counted(ts, args).Swap(0); (n > 0) == neg {
		ts.Fatalf("the receiver got %d requests", n)
	}
}

// receives waits until the script's receiver has something, and forgets it.
func receives(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "the receiver to get something", func() bool { return counted(ts, args).Swap(0) > 0 })
}

// says waits until a file, or what a URL answers with, has a line like that.
func says(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	read := func() ([]byte, error) { return os.ReadFile(ts.MkAbs(args[0])) }
	if strings.HasPrefix(args[0], "http://") {
		read = func() ([]byte, error) { return fetch(args[0]) }
	}
	until(ts, args[0]+" to say "+args[1], func() bool {
		b, err := read()
		return err == nil && re.Match(b)
	})
}

// taskSpan puts the id of the span of a cell's first task into $SPAN.
func taskSpan(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, l := range data.Timelines {
		if l.Cell == args[1] {
			ts.Setenv("SPAN", l.Tasks[0].SpanID)
			return
		}
	}
	ts.Fatalf("there is no traced trial of %s", args[1])
}

// record writes the records of a run of twenty rounds with known times, during
// which other programs used that many hundredths of a core.
func record(ts *testscript.TestScript, _ bool, args []string) {
	others, err := strconv.Atoi(args[1])
	ts.Check(err)
	goroutines := 55
	if len(args) > 2 {
		goroutines, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	run := results.Run{
		Schema: results.Schema, ID: args[0], Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Status: results.Completed,
		Machine: results.Machine{OS: "linux", Arch: "amd64", Cores: 2}, Preset: "standard", Rounds: 20, MaxRounds: 40, TrialNS: 1e8,
		Backends: []results.BackendInfo{{Name: "sequential"}, {Name: "goroutines"}, {Name: "processes"}},
	}
	walls := map[string]int{}
	for _, w := range []struct {
		label, cpu string
		walls      [3]int // ms
	}{{"sqrt", "", [3]int{100, goroutines, 60}}, {"mixed_cpu_1ms", "1ms", [3]int{50, 30, 40}}, {"mixed_cpu_4ms", "4ms", [3]int{200, 120, 110}}} {
		name, _, _ := strings.Cut(w.label, "_")
		run.Workloads = append(run.Workloads, results.WorkloadInfo{Name: name, Label: w.label, Params: results.Params{"cpu": w.cpu}})
		for i, b := range run.Backends {
			id := w.label + "-" + b.Name
			run.Cells = append(run.Cells, results.Cell{ID: id, Workload: w.label, Backend: b.Name, Workers: 2, Baseline: i == 0})
			walls[id] = w.walls[i]
		}
	}
	folder, err := results.Create(ts.MkAbs(args[0]), &run)
	ts.Check(err)
	n := 0
	for round := range run.Rounds {
		for _, c := range run.Cells {
			for copies := range 2 {
				if copies == 1 && !c.Baseline {
					continue
				}
				n++
				wall := int64(walls[c.ID]) * (1_000_000 + int64(n*7919%9001)) // up to 1 % more
				ts.Check(folder.AddTrial(&results.Trial{
					Cell: c.ID, Kind: results.Timed, Round: round, Replicate: copies == 1, Started: run.Started.Add(time.Duration(n) * time.Second),
					Load:     &results.Load{WindowNS: 1e9, BusyNS: 1e9 + int64(others)*1e7, OwnNS: 1e9},
					Measured: results.Measured{WallNS: wall, Usage: results.Usage{UserNS: wall}, StartNS: 1e6, Tasks: 1, Digest: "d"},
				}))
			}
		}
	}
	ts.Check(folder.Close())
}

// lossless checks that every process of a cell's traced trial has all of its
// spans, at least so many worker processes, and a known end of every task.
func lossless(ts *testscript.TestScript, _ bool, args []string) {
	least, err := strconv.Atoi(args[2])
	ts.Check(err)
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	l := slices.IndexFunc(data.Ledger, func(l results.Ledger) bool { return l.Cell == args[1] })
	t := slices.IndexFunc(data.Trials, func(t results.Trial) bool { return t.Cell == args[1] && t.Kind == results.Traced })
	if l < 0 || t < 0 {
		ts.Fatalf("%s has no traced trial", args[1])
	}
	sum := 0
	for _, p := range data.Ledger[l].Processes {
		if p.SpansExpected != p.SpansExported || p.SpansExported == 0 || p.CPUNS < 0 {
			ts.Fatalf("%s: %d of %d spans are there, and %d ns of processor time: %+v", p.Name, p.SpansExported, p.SpansExpected, p.CPUNS, p)
		}
		sum += p.SpansExported
	}
	if n := len(data.Ledger[l].Processes) - 1; n < least {
		ts.Fatalf("there were %d worker processes; want at least %d", n, least)
	}
	if got := data.Trials[t]; got.SpansExpected != sum || got.SpansExported != sum {
		ts.Fatalf("the trial exported %d of %d spans; its processes %d", got.SpansExported, got.SpansExpected, sum)
	}
	if l := data.Ledger[l]; l.Resolved != l.Tasks || l.Tasks == 0 {
		ts.Fatalf("an execution trace shows %d of %d tasks", l.Resolved, l.Tasks)
	}
	for _, t := range data.Trials {
		if t.CPUNS() < 0 {
			ts.Fatalf("a %s trial of %s took %d ns of processor time", t.Kind, t.Cell, t.CPUNS())
		}
	}
}

// Every verb is used, and takes what its use says.
func TestVerbs(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, v := range verbs {
		name, _, _ := v.name()
		if !regexp.MustCompile(`(?m)^(\[[^]]*\] )?(! )?` + name + `( |$)`).MatchString(all.String()) {
			t.Errorf("no script uses %s", name)
		}
		if v.doc == "" {
			t.Errorf("%s has no documentation", name)
		}
	}
	for _, tt := range []struct {
		use   string
		takes []int // of 0 to 4
	}{
		{"measured", []int{0}},
		{"! children", []int{0}},
		{"[!] received [metrics]", []int{0, 1}},
		{"lines FILE N", []int{2}},
		{"record DIR OTHERS [MS]", []int{2, 3}},
		{"ports VARIABLE …", []int{1, 2, 3, 4}},
		{"exits CODE[,CODE] COMMAND [ARG …]", []int{2, 3, 4}},
	} {
		var got []int
		for n := range 5 {
			if (verb{use: tt.use}).takes(n) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, tt.takes) {
			t.Errorf("%s takes %v arguments; want %v", tt.use, got, tt.takes)
		}
	}
}
