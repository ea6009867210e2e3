package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/run"
	"github.com/f3f4c0de/harness/internal/machine"
)

func newDoctorCommand(a *app) *cobra.Command {
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine would do to the figures",
		Long: `doctor looks at the machine and at this program for what spoils figures, and
tells what to do about it. It changes nothing. Some checks take a look of a
second. What the system does not show is unknown, which is not the same as ok.

With --strict it ends with exit code 5 if any check warns or fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := machine.This.Checks(facts(cmd.Context()))
			if err := a.printChecks(checks, asJSON); err != nil {
				return failed(err)
			}
			bad := 0
			for _, c := range checks {
				if c.Status == machine.Warn || c.Status == machine.Fail {
					bad++
				}
			}
			if strict && bad > 0 {
				return exitError{exitRefused, fmt.Errorf("refused: %d of %d checks did not come out ok", bad, len(checks))}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "end with exit code 5 if any check warns or fails")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (a *app) printChecks(checks []machine.Check, asJSON bool) error {
	if asJSON {
		return a.printJSON(checks)
	}
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%-8s %-15s %s\n", c.Status, c.Name, c.Found)
		if c.Do != "" {
			fmt.Fprintf(&b, "%24s → %s\n", "", c.Do)
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// facts measures what the checks need.
func facts(ctx context.Context) machine.Facts {
	f := machine.Facts{
		NumCPU: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Others: others(ctx), Receivers: receivers(ctx),
		FreeBytes: freeBytes("."), TempBytes: freeBytes(os.TempDir()), Sleeps: make(map[time.Duration]time.Duration),
	}
	if m, err := run.Capacity(ctx, f.NumCPU); err == nil && m.TogetherNS > 0 {
		f.Capacity = float64(f.NumCPU) * float64(m.AloneNS) / float64(m.TogetherNS)
	}
	for _, d := range []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond} {
		const n = 5
		start := time.Now()
		for range n {
			pause(ctx, d)
		}
		f.Sleeps[d] = time.Since(start) / n
	}
	f.Build, _ = debug.ReadBuildInfo()
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		f.OpenFiles = limit.Cur
	}
	return f
}

// freeBytes returns how much room there is in a folder, -1 if that is unknown.
func freeBytes(dir string) int64 {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return -1
	}
	return int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // of another type on other systems
}

// others returns how many processors other programs use just now, -1 if that
// cannot be known.
func others(ctx context.Context) float64 {
	before, err := machine.This.ReadLoad()
	own, err2 := machine.OwnCPU()
	if err != nil || err2 != nil {
		return -1
	}
	pause(ctx, time.Second)
	after, err := machine.This.ReadLoad()
	ownAfter, err2 := machine.OwnCPU()
	if err != nil || err2 != nil {
		return -1
	}
	used := after.Busy - before.Busy - (ownAfter - own)
	return max(0, float64(used)/float64(after.At.Sub(before.At)))
}

// pause waits for a time, or for ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
