package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/f3f4c0de/harness/internal/experiment"
	"github.com/f3f4c0de/harness/internal/results"
)

// A progress tells on standard error how far a run is: on a terminal in one
// line that is drawn again between trials, elsewhere in a line per round.
// Nothing is drawn while a trial runs.
type progress struct {
	mu      sync.Mutex
	w       io.Writer
	mode    string // "line", "plain", "none"
	width   int
	drawn   bool   // there is a line to be drawn over
	section string // last one told in plain mode
}

func newProgress(w io.Writer, mode string) (*progress, error) {
	p := &progress{w: w, mode: mode}
	switch mode {
	case "plain", "none":
	case "auto":
		p.mode = "plain"
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "" {
			p.mode = "line"
			if width, _, err := term.GetSize(int(f.Fd())); err == nil {
				p.width = width
			}
		}
	default:
		return nil, fmt.Errorf("--progress is %q; want auto, plain or none", mode)
	}
	return p, nil
}

// say prints a message of its own.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.w, strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}

// report is told between trials.
func (p *progress) report(e experiment.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Failed != "" {
		p.clear()
		fmt.Fprintf(p.w, "FAILED %s, %s trial: %s\n", e.Step.Cell, e.Step.Kind, e.Failed)
	}
	section := string(e.Step.Kind)
	switch e.Step.Kind {
	case results.Timed, results.Probe:
		section = fmt.Sprintf("round %d", e.Step.Round+1)
	case results.Cost:
		section = fmt.Sprintf("cost of observing, round %d", e.Step.Round+1)
	}
	left := "about " + roundDuration(e.Left) + " left"
	switch p.mode {
	case "plain":
		if section != p.section && e.Done < e.Total {
			p.section = section
			fmt.Fprintf(p.w, "%s: %d of %d trials, %s\n", section, e.Done, e.Total, left)
		}
	case "line":
		line := fmt.Sprintf("%d/%d  %s  %s  %s", e.Done, e.Total, section, e.Step.Cell, left)
		if p.width > 0 && len(line) >= p.width {
			line = line[:p.width-1]
		}
		p.clear()
		fmt.Fprint(p.w, line)
		p.drawn = true
	}
}

// finish leaves nothing to be drawn over.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
