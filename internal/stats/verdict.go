package stats

import "math"

// A Word is a verdict on a comparison. These are all that the harness uses, in
// every format.
type Word string

// The verdicts.
const (
	NoVerdict      Word = "no verdict"      // the measurement does not allow one
	Invalid        Word = "invalid"         // what was measured cannot be
	Faster         Word = "faster"          // beyond the band, after Holm's adjustment
	Slower         Word = "slower"          // likewise
	SlightlyFaster Word = "slightly faster" // real, but it may be too little to matter
	SlightlySlower Word = "slightly slower" // likewise
	Same           Word = "same"            // shown to lie within the band
	Unclear        Word = "unclear"         // the interval is too wide to say
)

// Words are all verdicts.
var Words = []Word{NoVerdict, Invalid, Faster, Slower, SlightlyFaster, SlightlySlower, Same, Unclear}

// What verdicts are given by.
const (
	Band      = 0.05 // relative difference that is too small to matter
	Level     = 0.05 // of the tests
	MinRounds = 12   // fewer give no verdict
	OverLimit = 1.05 // share of the limit beyond which a speed-up cannot be
)

// A Claim is what is known of a comparison: how many times faster one is than
// the other.
type Claim struct {
	Ratio Estimate // at a confidence of 1-Level
	P     float64  // of the signed-rank test, after Holm's adjustment
	Limit float64  // what the ratio cannot exceed; 0 is unknown

	// Self tells that a program is compared with itself, to see what noise
	// does: whatever difference there is, is no finding.
	Self bool

	Wrong string // why a figure of it cannot be true, such as a failed check
	Doubt string // why no verdict may be given, such as contaminated rounds
}

// A Verdict is a word with what is to be said beside it.
type Verdict struct {
	Word Word `json:"word"`

	// Why tells why there is no verdict, or why the figure is invalid.
	Why string `json:"why,omitempty"`

	// Rounds would settle what is unclear: about so many in all.
	Rounds int `json:"rounds,omitempty"`
}

// Judge puts a claim into a word. The rules are applied in this order:
//
//   - invalid: something is wrong
//   - no verdict: there is a doubt, or there are fewer than MinRounds rounds
//   - invalid: the ratio exceeds OverLimit times its limit
//   - faster, slower: the whole interval lies beyond the band, and the adjusted
//     p is below Level
//   - slightly faster, slightly slower: the interval excludes 1
//   - same: the whole interval lies within the band
//   - unclear: all else
//
// Of a program compared with itself, what would be faster or slower is no
// verdict, for something disturbs it, and what would be slightly so is the same
// or unclear, whether or not the interval happens to exclude 1.
//
// The band reaches from 1/(1+Band) to 1+Band, so that a ratio and its inverse
// are judged alike.
func Judge(c Claim) Verdict {
	e := c.Ratio
	lower, upper := 1/(1+Band), 1+Band
	switch {
	case c.Wrong != "":
		return Verdict{Word: Invalid, Why: c.Wrong}
	case c.Doubt != "":
		return Verdict{Word: NoVerdict, Why: c.Doubt}
	case e.N < MinRounds:
		return Verdict{Word: NoVerdict, Why: "too few rounds"}
	case c.Limit > 0 && e.Value > OverLimit*c.Limit:
		return Verdict{Word: Invalid, Why: "beyond the limit"}
	case c.Self && (e.Low > upper || e.High < lower) && c.P < Level:
		return Verdict{Word: NoVerdict, Why: "it differs from itself"}
	case c.Self && e.Low >= lower && e.High <= upper:
		return Verdict{Word: Same}
	case c.Self:
		return Verdict{Word: Unclear, Rounds: roundsToSettle(e)}
	case e.Low > upper && c.P < Level:
		return Verdict{Word: Faster}
	case e.High < lower && c.P < Level:
		return Verdict{Word: Slower}
	case e.Low > 1:
		return Verdict{Word: SlightlyFaster}
	case e.High < 1:
		return Verdict{Word: SlightlySlower}
	case e.Low >= lower && e.High <= upper:
		return Verdict{Word: Same}
	}
	return Verdict{Word: Unclear, Rounds: roundsToSettle(e)}
}

// roundsToSettle returns how many rounds would make an interval narrow enough
// that it either excludes 1 or lies within the band, if the estimate stays
// where it is: the width of an interval goes with the root of the rounds.
func roundsToSettle(e Estimate) int {
	band := math.Log1p(Band)
	off := math.Abs(math.Log(e.Value))
	half := (math.Log(e.High) - math.Log(e.Low)) / 2
	enough := max(off, band-off)
	n := float64(e.N) * (half / enough) * (half / enough)
	if math.IsInf(n, 0) || math.IsNaN(n) {
		return 0
	}
	return max(e.N+1, int(math.Ceil(n)))
}
