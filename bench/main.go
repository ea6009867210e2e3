// Command bench measures the executor beside its peers: the pools of Go (pond,
// ants, conc, errgroup) and, where Python 3 is present, concurrent.futures and
// multiprocessing. Run it in this folder:
//
//	go run . [-rounds 8] [-run regexp]
//
// All arms of a group run in every round, in random order, so that a
// neighbour on the machine slows them all. What counts is the median over the
// rounds of the ratio within a round; absolute times do not travel.
//
// To add a measurement, add an arm to a group, or a group to the list.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

func main() {
	executor.Main(tasks...)
	rounds := flag.Int("rounds", 8, "`rounds`, each with every arm once")
	pattern := flag.String("run", "", "only the groups whose name matches this `regexp`")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *rounds, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// An arm is one way to do what a group measures.
type arm struct {
	name string
	note string
	// open prepares the arm and returns what is measured, which returns its
	// figure, and what ends it. It returns an errAbsent if the machine lacks
	// what it needs.
	open func(ctx context.Context) (measure func() (float64, error), end func() error, err error)
}

// A group is arms that do the same.
type group struct {
	name string
	doc  string
	unit string // of the figures
	more bool   // more is better
	arms []arm  // the first is ours
	// goals are what the ratio of another arm to ours should be at least, if
	// less is better, or ours to it, if more is.
	goals map[string]float64
	// most are what it should be at most, if less is better.
	most map[string]float64
}

type errAbsent struct{ what string }

func (e errAbsent) Error() string { return "not available here: " + e.what }

func run(ctx context.Context, out io.Writer, rounds int, pattern string) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	fmt.Fprintf(out, "%s, %s/%s, %d cores, %d rounds in random order, medians; ratio: the median over the rounds\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)
	for _, g := range groups {
		if !match.MatchString(g.name) {
			continue
		}
		if err := g.run(ctx, out, rounds); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}

func (g group) run(ctx context.Context, out io.Writer, rounds int) error {
	fmt.Fprintf(out, "\n%s: %s\n", g.name, g.doc)
	figures := make([][]float64, len(g.arms))
	absent := make([]error, len(g.arms))
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(g.arms)) {
			if absent[i] != nil {
				continue
			}
			v, err := g.arms[i].once(ctx)
			var e errAbsent
			if errors.As(err, &e) {
				absent[i] = e
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", g.arms[i].name, err)
			}
			if round > 0 { // the first warms up
				figures[i] = append(figures[i], v)
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tmedian\tratio\trange\tgoal\t")
	for i, a := range g.arms {
		if absent[i] != nil {
			fmt.Fprintf(w, "  %s\t%v\t\t\t\t\n", a.name, absent[i])
			continue
		}
		ratios := make([]float64, len(figures[i]))
		for r := range ratios {
			ratios[r] = figures[i][r] / figures[0][r]
			if g.more {
				ratios[r] = 1 / ratios[r]
			}
		}
		goal := ""
		if want, ok := g.goals[a.name]; ok {
			verdict := "reached"
			if median(ratios) < want {
				verdict = "missed"
			}
			goal = fmt.Sprintf("≥ %.3g %s", want, verdict)
		}
		if want, ok := g.most[a.name]; ok {
			verdict := "reached"
			if median(ratios) > want {
				verdict = "missed"
			}
			goal = fmt.Sprintf("≤ %.4g %s", want, verdict)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s×\t%s–%s\t%s\t%s\n", a.name, g.format(median(figures[i])), digits(median(ratios)), digits(slices.Min(ratios)), digits(slices.Max(ratios)), goal, a.note)
	}
	return w.Flush()
}

func (a arm) once(ctx context.Context) (v float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("not done within a minute"))
	defer cancel()
	measure, end, err := a.open(ctx)
	if err != nil {
		return 0, err
	}
	runtime.GC()
	v, err = measure()
	if e := end(); err == nil {
		err = e
	}
	return v, err
}

func (g group) format(v float64) string {
	switch g.unit {
	case "s":
		d := time.Duration(v * 1e9)
		for unit := time.Duration(1); ; unit *= 10 {
			if d < 1000*unit {
				return d.Round(unit).String()
			}
		}
	default:
		return strings.TrimSpace(fmt.Sprintf("%.3g %s", v, g.unit))
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// digits writes a ratio with three digits, and four near one, where they count.
func digits(v float64) string {
	if v > 0.9 && v < 1.1 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.3g", v)
}
