package stats

import "math"

// A Word is a verdict on a comparison. These are all that the harness uses, in
// every format.
type Word string

// The verdicts.
const (
	NoVerdict      Word = "no verdict"      // the measurement does not allow one
	Invalid        Word = "invalid"         // the figure cannot be true
	Faster         Word = "faster"          // beyond the band, after Holm's adjustment
	Slower         Word = "slower"          // likewise
	SlightlyFaster Word = "slightly faster" // real, but it may be too little to matter
	SlightlySlower Word = "slightly slower" // likewise
	Same           Word = "same"            // shown to lie within the band
	Unclear        Word = "unclear"         // the interval is too wide to say
)

// Words are all verdicts.
var Words = []Word{NoVerdict, Invalid, Faster, Slower, SlightlyFaster, SlightlySlower, Same, Unclear}

// The parameters of the verdicts.
const (
	Band      = 0.05 // relative difference that is too small to matter
	Level     = 0.05 // significance level of the tests
	MinRounds = 12   // least rounds for a verdict
	OverLimit = 1.05 // largest share of the limit that a speed-up can reach
)

// A Claim is what is known of a comparison of two programs.
type Claim struct {
	Ratio Estimate // how many times faster the one is than the other, at a confidence of 1-Level
	P     float64  // of the signed-rank test, after Holm's adjustment
	Limit float64  // largest possible ratio; 0 is unknown

	// Self tells that a program is compared with itself (A/A): any difference is
	// noise.
	Self bool

	Wrong string // why the figure cannot be true, such as a failed check
	Doubt string // why no verdict may be given, such as contaminated rounds
}

// A Verdict is a word with its explanation.
type Verdict struct {
	Word Word `json:"word"`

	// Why says why there is no verdict, or why the figure is invalid.
	Why string `json:"why,omitempty"`

	// Rounds is about how many rounds in all would settle what is unclear; 0 if
	// that is unknown.
	Rounds int `json:"rounds,omitempty"`
}

// Judge gives the verdict on a claim. The first rule that applies decides:
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
// For a program that is compared with itself, a claim that would be faster or
// slower gives no verdict, since something disturbed the program. One that would be
// slightly faster or slower is the same or unclear, even if the interval excludes 1.
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

// roundsToSettle returns how many rounds would make the interval narrow enough to
// exclude 1 or to lie within the band, if the estimate stays the same. The width of
// an interval is inversely proportional to the square root of the rounds.
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
