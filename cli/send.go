package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// destinations say where the spans and the metrics of a run go beside its folder.
type destinations struct{ spans, metrics trace.Destination }

// destinationsOf returns the destinations that the flag --otlp or the environment
// names. The flag has precedence.
func destinationsOf(flag string) (d destinations, err error) {
	if flag != "" {
		if _, err := trace.ParseTarget(flag, trace.Traces); err != nil {
			return d, fmt.Errorf("--otlp: %w", err)
		}
	}
	d.spans, d.metrics, err = trace.FromEnv(flag)
	return d, err
}

// send delivers the spans of a run, and prints a warning if that fails. A receiver
// that is down does not make a run fail: the spans can be sent later.
func (a *app) send(ctx context.Context, printer *progress.Printer, to trace.Destination, dir string) {
	path := filepath.Join(dir, results.TracesFile)
	if to.Console {
		if err := printFile(a.stderr, path); err != nil {
			printer.Say("Warning: not all spans were printed: %v", err)
		}
	}
	if to.OTLP == nil {
		return
	}
	n, err := to.OTLP.SendFile(ctx, path)
	if err == nil {
		printer.Tell("%d spans sent to %s.", n, to.OTLP.URL)
		return
	}
	all, countErr := trace.CountFile(path)
	if countErr != nil {
		err = errors.Join(err, countErr)
	}
	printer.Say("Warning: only %d of %d spans were sent: %v\nSend them later with: harness trace %s --otlp %s", n, all, err, dir, to.OTLP.URL)
}

func printFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
