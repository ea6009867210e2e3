// Package progress prints what a run will do, and how far it is: as text for people,
// or as JSON for programs.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/f3f4c0de/harness/internal/experiment/run"
	"github.com/f3f4c0de/harness/internal/results"
)

// Modes are the modes of a [Printer]: chosen by the writer, a line per round, a line
// of JSON per trial, or messages only.
var Modes = []string{"auto", "plain", "json", "none"}

// A Printer prints how far a run is: on a terminal in one line that is redrawn
// between trials, elsewhere in a line per round, and for programs in a line of
// JSON per trial. It prints nothing while a trial runs. Its methods are safe for
// concurrent use. Errors of the writer are ignored.
type Printer struct {
	mu      sync.Mutex
	w       io.Writer
	mode    string // "line", "plain", "json", "none"
	width   int
	quiet   bool   // only what is wrong is printed
	drawn   bool   // a line is on the terminal that has to be cleared
	section string // last one printed in plain mode
}

// New returns a printer in one of [Modes]. "auto" is a line that is redrawn if w is a
// terminal, and "plain" otherwise. A quiet printer prints only what is wrong.
func New(w io.Writer, mode string, quiet bool) (*Printer, error) {
	p := &Printer{w: w, mode: mode, quiet: quiet}
	switch mode {
	case "plain", "json", "none":
	case "auto":
		p.mode = "plain"
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "" {
			p.mode = "line"
			if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
				p.width = n
			} else if width, _, err := term.GetSize(int(f.Fd())); err == nil {
				p.width = width
			}
		}
	default:
		return nil, fmt.Errorf("--progress is %q; want auto, plain, json or none", mode)
	}
	if quiet {
		p.mode = "none"
	}
	return p, nil
}

// Tell prints a message, unless the printer is quiet.
func (p *Printer) Tell(format string, args ...any) {
	if !p.quiet {
		p.Say(format, args...)
	}
}

// Say prints a message in every mode, also if the printer is quiet.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	text := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
	if p.mode == "json" {
		p.write(event{Message: text})
		return
	}
	fmt.Fprintln(p.w, text)
}

// An event is a line of --progress json: a message, or how far the run is
// after a trial or a probe.
type event struct {
	Message string `json:"message,omitempty"`

	Kind   results.Kind `json:"kind,omitempty"`
	Cell   string       `json:"cell,omitempty"`  // of the trial that has ended; a probe has none
	Round  int          `json:"round,omitempty"` // from 1, of timed trials and probes
	Done   int          `json:"done,omitempty"`  // trials
	Total  int          `json:"total,omitempty"` // as far as is known yet
	LeftNS int64        `json:"left_ns,omitempty"`
	Error  string       `json:"error,omitempty"` // why the trial failed
}

func (p *Printer) write(e event) {
	b, err := json.Marshal(e)
	if err == nil { // it is plain data
		fmt.Fprintf(p.w, "%s\n", b)
	}
}

// Report prints how far the run is. It must be called between trials.
func (p *Printer) Report(e run.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	timed := e.Step.Kind == results.Timed || e.Step.Kind == results.Probe
	if p.mode == "json" {
		line := event{Kind: e.Step.Kind, Cell: e.Step.Cell, Done: e.Done, Total: e.Total, LeftNS: int64(e.Left), Error: e.Failed}
		if timed {
			line.Round = e.Step.Round + 1
		}
		p.write(line)
		return
	}
	if e.Failed != "" {
		p.clear()
		fmt.Fprintf(p.w, "FAILED %s, %s trial: %s\n", e.Step.Cell, e.Step.Kind, e.Failed)
	}
	section := string(e.Step.Kind)
	switch {
	case timed:
		section = fmt.Sprintf("round %d", e.Step.Round+1)
	case e.Step.Kind == results.ObserverTrial:
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

// Finish clears the line that is redrawn.
func (p *Printer) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Printer) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
