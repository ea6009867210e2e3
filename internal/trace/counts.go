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
	// Lost is how the process ended, if not with exit code 0. Then Expected does not
	// include the spans that its tasks started themselves.
	Lost string
}

// Counts holds a count for each process, by the name that [Exit] gives it: "trial",
// "worker-0" and so on.
type Counts map[string]Count

func (c Counts) add(process string, expected, exported int) {
	n := c[process]
	n.Expected += expected
	n.Exported += exported
	c[process] = n
}

// Total returns the sums over all processes.
func (c Counts) Total() (sum Count) {
	for _, n := range c {
		sum.Expected += n.Expected
		sum.Exported += n.Exported
	}
	return sum
}

// Err returns an error if some spans that were expected were not exported.
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
