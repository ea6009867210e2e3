package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// parseProfileExport returns how profile --format writes or sends the profiles
// for others.
func (a *app) parseProfileExport(f profileFlags) (action, error) {
	if f.format != "otlp" {
		return nil, fmt.Errorf("--format is %q; want otlp", f.format)
	}
	if f.out == "" && f.otlp == "" {
		return nil, errors.New("--format otlp needs --out FILE or --otlp URL: where to?")
	}
	to := ""
	if f.otlp != "" {
		var err error
		if to, err = profile.ParseOTLPReceiver(f.otlp); err != nil {
			return nil, fmt.Errorf("--otlp: %w", err)
		}
	}
	return func(ctx context.Context, run *inspect.Run) error { return a.exportProfiles(ctx, run, to, f) }, nil
}

// exportProfiles writes or sends the profiles for others, a message for each
// cell if they are sent.
func (a *app) exportProfiles(ctx context.Context, run *inspect.Run, to string, f profileFlags) error {
	cells := run.Profiled()
	if f.cell != "" {
		if _, err := run.ProfiledCell(f.cell); err != nil {
			return err
		}
		cells = []string{f.cell}
	}
	var whole profile.OTLP
	sent := 0
	for _, cell := range cells {
		var one profile.OTLP
		for _, o := range []*profile.OTLP{&whole, &one} {
			if err := addOTLP(o, run, cell, f.kinds); err != nil {
				return failed(err)
			}
		}
		if to == "" {
			continue
		}
		if err := one.Send(ctx, to); err != nil {
			return failed(fmt.Errorf("after %d of %d cells: %w", sent, len(cells), err))
		}
		sent++
	}
	if to != "" {
		if _, err := fmt.Fprintf(a.stdout, "%d profiles of %d cells sent to %s (alpha)\n", whole.Profiles(), sent, to); err != nil {
			return failed(err)
		}
	}
	if f.out == "" {
		return nil
	}
	b, err := whole.Encode()
	if err != nil {
		return failed(err)
	}
	if err := results.WriteFile(f.out, b); err != nil {
		return failed(fmt.Errorf("writing the profiles: %w", err))
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d profiles of %d cells, OTLP v1development (alpha)\n", f.out, whole.Profiles(), len(cells))
	return failed(err)
}

// addOTLP adds a cell's profiles of those kinds, all its processes merged. A cell
// whose traced trial failed lacks one.
func addOTLP(o *profile.OTLP, run *inspect.Run, cell string, kinds []string) error {
	c, err := run.ProfiledCell(cell)
	if err != nil {
		return err
	}
	files, err := run.Files(cell)
	if err != nil {
		return err
	}
	for _, file := range files {
		if file.Process != "" || !slices.Contains(kinds, file.Kind) {
			continue
		}
		v, err := file.Read()
		if err != nil {
			return err
		}
		o.Add(v, map[string]string{
			"bench.run.id": run.Data.Run.ID, "bench.cell.id": cell, "bench.workload": c.Workload, "bench.backend": c.Backend, "bench.profile": file.Kind,
		})
	}
	return nil
}
