package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	canned    = "../testdata/runs/exact"
	published = "../results/2026-11-21-two-cores"
)

// Commands that read recorded runs print what is expected, or say what is wrong, and
// end with the right exit code.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	broken := file("broken")
	if err := os.CopyFS(broken, os.DirFS(canned)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"profiles/sum-processes-w2/cpu.pb.gz", "ledger/sum-processes-w2.ndjson"} {
		if err := os.WriteFile(filepath.Join(broken, name), []byte("broken\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const cell = "sum-processes-w2"
	tests := []struct {
		args string
		code int
		says string // what is printed, or the error
	}{
		{"profile " + canned, 0, "sum-processes-w2   cpu        2s        200 samples\n"},
		{"profile " + published, 0, ""}, // it has none
		{"profile " + canned + " --cell " + cell, 0, "In the garbage collector: 20 of 200 CPU samples, 10 % of the processor time\nsum-processes-w2, cpu of all its processes\n"},
		{"profile " + canned + " --cell " + cell + " --kind allocs --lines", 0, "example.org/sum.add sum.go:10"},
		{"profile " + canned + " --diff sum-sequential-w1," + cell, 0, "sum-processes-w2 against sum-sequential-w1, cpu a task\n"},
		{"profile " + canned + " --diff sum-sequential-w1," + cell + " --flame " + file("diff.svg"), 0, "diff.svg: sum-processes-w2 against"},
		{"profile " + canned + " --span b0000000000000", 2, "--span: span b0000000000000 is not the only one"},
		{"profile " + canned + " --span b000000000000011", 0, "task sum (span b000000000000011), 40 samples\n"},
		{"profile " + canned + " --span b000000000000012", 0, "task sum (span b000000000000012) has 10 CPU samples; fewer than 30 say nothing. See: harness ledger " + canned + " --cell sum-processes-w2 --task 2\n"},
		{"profile " + canned + " --span c000000000000001", 2, "--span: c000000000000001 (run 20261129-120000-0001) is of no cell"},
		{"profile " + canned + " --cell none", 2, `there are no profiles of cell "none"; there are those of sum-sequential-w1, sum-processes-w2`},
		{"profile " + canned + " --kind none", 2, `--kind is "none"; want one of cpu, `},
		{"profile " + canned + " --diff x", 2, `--diff is "x"; want two cells, A,B`},
		{"profile " + canned + " --format otlp --out x", 2, "--format, --out and --otlp were removed"},
		{"profile " + canned + " --flame x.svg", 2, "--flame needs --cell, --span or --diff"},
		{"profile " + canned + " --http 0.0.0.0:0", 2, `--http: "0.0.0.0:0" can be reached from elsewhere`},
		{"profile " + canned + " --http 127.0.0.1:0 --jaeger x", 2, `--jaeger is "x"; want the URL of Jaeger's page, such as http://localhost:16686`},
		{"profile " + broken + " --cell " + cell, 1, "cpu.pb.gz"},
		{"profile " + dir, 2, "is not the folder of a run: it has no run.json"},

		{"ledger " + canned, 0, "sum-processes-w2"},
		{"ledger " + published + " --cell sqrt-processes-w2", 0, "sqrt-processes-w2"},
		{"ledger " + canned + " --cell " + cell + " --task 2", 0, "sum-processes-w2, task 2 (sum) on worker 1 (worker-1): 200 ms"},
		{"ledger " + canned + " --cell " + cell + " --task 2 --json", 0, `"number": 2`},
		{"ledger " + canned + " --cell none", 2, `--cell: the run has no ledger of "none"; it has those of sum-sequential-w1, sum-processes-w2`},
		{"ledger " + canned + " --cell " + cell + " --task 9", 2, "--task: sum-processes-w2 has no task 9; they are numbered from 1 to 2"},
		{"ledger " + canned + " --task 9", 2, "--task needs --cell: tasks are numbered in each cell"},
		{"ledger " + broken + " --cell " + cell + " --task 2", 1, "line 1"},

		{"trace " + canned, 0, "0000000000000000000000000000f00d      4 spans  sum-processes-w2\n"},
		{"trace " + canned + " --format perfetto --out " + file("trace.json"), 0, "trace.json: open it in ui.perfetto.dev"},
		{"trace " + published + " --format perfetto --cell sqrt-processes-w2", 1, "exectrace/sqrt-processes-w2/32660.trace: no such file"},
		{"trace " + canned + " --format perfetto --cell none", 2, `--cell: the run has no traced trial of "none"`},
		{"trace " + canned + " --format x", 2, `--format is "x"; want perfetto`},

		{"metrics " + canned, 0, "harness_trials_total{backend=\"processes\",cell=\"sum-processes-w2\",kind=\"timed\""},
		{"metrics " + canned + " --listen nonsense", 2, `--listen: "nonsense" is not an address`},
		{"metrics " + canned + " --otlp nonsense", 2, `--otlp: "nonsense" is not the URL`},

		{"check " + published + " --assert speedup(goroutines,sqrt)>=3", 3, "1 of 1 assertions failed"},
		{"check " + canned + " --assert speedup(processes,sum)>=1", 4, "1 of 1 assertions cannot be decided"},
		{"check " + canned, 2, "nothing is asserted"},
		{"crossover " + canned, 2, "the run varied nothing"},
		{"crossover " + canned + " --pair a", 2, `--pair is "a"; want two backends`},
		{"compare " + canned + " " + canned, 0, "sum"},

		{"serve " + canned + " --listen 0.0.0.0:0", 2, `--listen: "0.0.0.0:0" can be reached from elsewhere`},
		{"serve " + canned + " --jaeger x", 2, `--jaeger is "x"`},
		{"serve " + filepath.Join(canned, "ledger"), 2, "has no run in it: neither it nor a folder in it has a run.json"},
		{"serve " + file("none"), 2, "no such file"},
		{"none", 2, `unknown command "none"`},
		{"list none", 2, `invalid argument "none"`},
	}
	for _, tt := range tests {
		var stdout, stderr strings.Builder
		err := Run(t.Context(), &stdout, &stderr, strings.Fields(tt.args))
		says := stdout.String()
		if err != nil {
			says = err.Error()
		}
		if code := ExitCode(err); code != tt.code || !strings.Contains(says, tt.says) || stderr.Len() > 0 {
			t.Errorf("harness %s ends with %d and says %q, %q on standard error; want %d and %q", tt.args, code, says, stderr.String(), tt.code, tt.says)
		}
	}
}

// Commands that serve print their address, and end when their context ends.
func TestServing(t *testing.T) {
	for args, want := range map[string]struct{ says, page string }{
		"serve " + canned + " --listen 127.0.0.1:0":    {"Serving 1 run: ", "<h1>Runs</h1>"},
		"serve " + published + " --listen localhost:0": {"Serving 1 run: ", "<title>Run 20261121-223610-1d73</title>"}, // its report
		"profile " + canned + " --http 127.0.0.1:0":    {"Profiles of " + canned + ": ", "<h1>Profiles</h1>"},
		"metrics " + canned + " --listen 127.0.0.1:0":  {"Metrics of " + canned + ": ", "# EOF\n"},
	} {
		t.Run(args, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r, w := io.Pipe()
			ended := make(chan error, 1)
			go func() { // ends with ctx
				err := Run(ctx, w, io.Discard, strings.Fields(args))
				w.CloseWithError(err) // so that what waits for a line sees the error
				ended <- err
			}()
			out := bufio.NewReader(r)
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			url, ok := strings.CutPrefix(strings.TrimSpace(line), want.says)
			if !ok {
				t.Errorf("it says %q; want %q and a URL", line, want.says)
			}
			if line, err := out.ReadString('\n'); line != "Ctrl-C ends it.\n" || err != nil {
				t.Errorf("it says %q, %v; want how it is ended", line, err)
			}
			answer, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || !strings.Contains(string(page), want.page) {
				t.Errorf("%s is %q, %v; want %q in it", url, page, err, want.page)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// Every command is documented, and commands about a run complete its folder.
func TestCommandsAreDocumented(t *testing.T) {
	kinds, err := kindsWith(nil)
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&app{kinds: kinds})
	if got := len(root.Commands()); got != len(commands) {
		t.Errorf("there are %d commands; want the %d of the list", got, len(commands))
	}
	for _, c := range root.Commands() {
		if c.Short == "" || c.RunE == nil || c.Args == nil {
			t.Errorf("the command %q lacks a short description, its arguments or what it does", c.Name())
		}
		if strings.Contains(c.Use, " DIR") && c.ValidArgsFunction == nil {
			t.Errorf("%q does not complete folders", c.Use)
		}
	}
}
