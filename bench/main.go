// Command bench measures the executor beside its peers: the pools of Go (pond,
// ants, conc, errgroup) and, where Python 3 is present, concurrent.futures and
// multiprocessing. Run it in this folder:
//
//	go run . [-rounds 8] [-run regexp]
//
// All arms of a group run in every round, in random order, so that a
// neighbour on the machine slows them all. The result is the median over the rounds of
// the ratio within a round. Ratios can be compared between machines, times cannot.
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

// An arm is one way to do the work of a group.
type arm struct {
	name string
	note string
	// open sets the arm up. It returns a function that measures and returns the arm's
	// figure, and a function that ends the arm. It fails with an errAbsent if the
	// machine lacks what the arm needs.
	open func(ctx context.Context) (measure func() (float64, error), end func() error, err error)
}

// A group has arms that do the same work.
type group struct {
	name string
	doc  string
	unit string // of the figures
	more bool   // more is better
	arms []arm  // the first is ours
	// goals are lower bounds of the ratios of other arms. A ratio is the arm's figure
	// divided by ours, or, if more is better, ours divided by the arm's.
	goals map[string]float64
	// most are upper bounds of these ratios.
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
	figures, absent, err := g.measure(ctx, rounds)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tmedian\tratio\trange\tgoal\t")
	for i, a := range g.arms {
		if absent[i] != nil {
			fmt.Fprintf(w, "  %s\t%v\t\t\t\t\n", a.name, absent[i])
			continue
		}
		ratios := g.ratios(figures[i], figures[0])
		fmt.Fprintf(w, "  %s\t%s\t%s×\t%s–%s\t%s\t%s\n", a.name, g.format(median(figures[i])), digits(median(ratios)), digits(slices.Min(ratios)), digits(slices.Max(ratios)), g.goal(a.name, median(ratios)), a.note)
	}
	return w.Flush()
}

// measure runs the arms in random order, round by round, and returns the figures of each
// arm, or why it cannot run here.
func (g group) measure(ctx context.Context, rounds int) (figures [][]float64, absent []error, err error) {
	figures, absent = make([][]float64, len(g.arms)), make([]error, len(g.arms))
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
				return nil, nil, fmt.Errorf("%s: %w", g.arms[i].name, err)
			}
			if round > 0 { // the first round warms up
				figures[i] = append(figures[i], v)
			}
		}
	}
	return figures, absent, nil
}

// ratios returns the ratio of an arm in each round; see [group].
func (g group) ratios(figures, ours []float64) []float64 {
	all := make([]float64, len(figures))
	for r := range all {
		all[r] = figures[r] / ours[r]
		if g.more {
			all[r] = 1 / all[r]
		}
	}
	return all
}

// goal says what an arm's ratio should be, and whether it is; empty without a goal.
func (g group) goal(arm string, ratio float64) string {
	verdict := map[bool]string{true: "reached", false: "missed"}
	if want, ok := g.most[arm]; ok {
		return fmt.Sprintf("≤ %.4g %s", want, verdict[ratio <= want])
	}
	if want, ok := g.goals[arm]; ok {
		return fmt.Sprintf("≥ %.3g %s", want, verdict[ratio >= want])
	}
	return ""
}

// once sets the arm up, measures it once and ends it.

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

// digits formats a ratio with three digits, or with four if it is near 1.
func digits(v float64) string {
	if v > 0.9 && v < 1.1 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.3g", v)
}
