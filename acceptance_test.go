package harness_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/acceptance"
)

// What only real time can decide about commands, one script after the other, by
// the rule of package acceptance.
func TestAcceptance(t *testing.T) {
	files, err := filepath.Glob("testdata/acceptance/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is nothing to be accepted: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			acceptance.Decide(t, func(try *acceptance.Try) {
				p := scripts("acceptance")
				p.Dir, p.Files = "", []string{file}
				p.Deadline, _ = t.Deadline()
				setup := p.Setup
				p.Setup = func(env *testscript.Env) error {
					env.Values[tryOf{}] = try
					return setup(env)
				}
				testscript.RunT(scriptT{try}, p)
			})
		})
	}
}

// scriptT is the [testscript.T] of a try.
type scriptT struct{ *acceptance.Try }

func (scriptT) Parallel()                            {}
func (scriptT) Verbose() bool                        { return testing.Verbose() }
func (t scriptT) Run(_ string, f func(testscript.T)) { f(t) }

// tryOf is the key of the try that a script is.
type tryOf struct{}

func tryOfScript(ts *testscript.TestScript) *acceptance.Try {
	try, ok := ts.Value(tryOf{}).(*acceptance.Try)
	if !ok {
		ts.Fatalf("this is for the scripts of testdata/acceptance")
	}
	return try
}

// needs takes cores=1.5, timers=2ms and others=10%.
func needs(ts *testscript.TestScript, _ bool, args []string) {
	var n acceptance.Need
	for _, arg := range args {
		what, value, _ := strings.Cut(arg, "=")
		var err error
		switch what {
		case "cores":
			n.Cores, err = strconv.ParseFloat(value, 64)
		case "timers":
			n.Timers, err = time.ParseDuration(value)
		case "others":
			n.Others, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
			n.Others /= 100
		default:
			ts.Fatalf("%q is none of cores, timers, others", what)
		}
		ts.Check(err)
	}
	tryOfScript(ts).Needs(n)
}

func fromHereMeasured(ts *testscript.TestScript, _ bool, _ []string) { tryOfScript(ts).Measured() }

// tooLittle is the exit code of commands that cannot decide.
const tooLittle = 4

func decides(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == tooLittle {
		tryOfScript(ts).Undecided(strings.Join(args[:min(2, len(args))], " ") + " cannot decide")
	}
	ts.Check(err)
}
