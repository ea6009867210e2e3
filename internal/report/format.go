package report

import (
	"fmt"
	"math"
	"time"
)

func times(v float64) string {
	if math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.2f×", v)
}

func interval(e *Estimate) string {
	if e.Low == nil || e.High == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f–%.2f", *e.Low, *e.High)
}

// speedupText formats a ratio with its interval for a sentence.
func speedupText(e *Estimate) string {
	if e.Low == nil || e.High == nil {
		return fmt.Sprintf("%s (no interval from %d rounds)", times(e.Value), e.N)
	}
	return fmt.Sprintf("%s (95 %% CI %s)", times(e.Value), interval(e))
}

// duration formats nanoseconds with three digits.
func duration(ns float64) string {
	d := time.Duration(ns)
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= u.unit {
			v := ns / float64(u.unit)
			digits := 2
			for limit := 10.0; limit <= 100 && v >= limit; limit *= 10 {
				digits--
			}
			return fmt.Sprintf("%.*f %s", digits, v, u.name)
		}
	}
	return fmt.Sprintf("%.0f ns", ns)
}

// signed formats a duration that may be negative, such as a residual.
func signed(ns float64) string {
	if ns < 0 {
		return "-" + duration(-ns)
	}
	return duration(ns)
}

// percent formats a share with two digits.
func percent(v float64) string {
	if math.Abs(v) < 0.0995 {
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// ofWhole formats part as a percentage of whole.
func ofWhole(part, whole float64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*part/whole)
}

func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

func deref(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}
