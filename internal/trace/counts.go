package trace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Count compares the spans there should be with those that were written.
type Count struct {
	Expected, Exported int
	// Lost is how the process ended, if that was not in good order. Spans that
	// its tasks started themselves are not among the expected ones then.
	Lost string
}

// Counts are those of each process: "trial", "worker-0" and so on, as [Exit] has
// them.
type Counts map[string]Count

func (c Counts) add(process string, expected, exported int) {
	n := c[process]
	n.Expected += expected
	n.Exported += exported
	c[process] = n
}

// Total adds them up.
func (c Counts) Total() (sum Count) {
	for _, n := range c {
		sum.Expected += n.Expected
		sum.Exported += n.Exported
	}
	return sum
}

// Err reports a difference.
func (c Counts) Err() error {
	var errs []error
	for _, process := range slices.Sorted(maps.Keys(c)) {
		n := c[process]
		switch {
		case n.Expected == n.Exported:
		case n.Lost != "":
			errs = append(errs, fmt.Errorf("%d spans of %s were expected and %d were exported: it ended with %s, and what it had recorded went with it", n.Expected, process, n.Exported, n.Lost))
		default:
			errs = append(errs, fmt.Errorf("%d spans of %s were expected and %d were exported", n.Expected, process, n.Exported))
		}
	}
	return errors.Join(errs...)
}
