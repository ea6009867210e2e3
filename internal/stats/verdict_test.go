package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		name             string
		value, low, high float64
		n                int
		p, limit         float64
		self             bool
		wrong, doubt     string
		want             Word
		rounds           int
	}{
		{name: "faster", value: 1.97, low: 1.77, high: 2.02, n: 20, p: 1e-5, limit: 2, want: Faster},
		{name: "slower", value: 0.5, low: 0.4, high: 0.6, n: 20, p: 1e-5, want: Slower},
		{name: "fast, but one of many", value: 1.2, low: 1.06, high: 1.4, n: 20, p: 0.2, want: SlightlyFaster},
		{name: "slightly faster", value: 1.021, low: 1.004, high: 1.039, n: 20, p: 0.01, want: SlightlyFaster},
		{name: "slightly slower", value: 0.97, low: 0.94, high: 0.99, n: 20, p: 0.01, want: SlightlySlower},
		{name: "reaches the band", value: 1.1, low: 1.05, high: 1.2, n: 20, p: 0.001, want: SlightlyFaster},
		{name: "same", value: 1.001, low: 0.99, high: 1.013, n: 20, p: 0.8, want: Same},
		{name: "unclear", value: 1.02, low: 0.96, high: 1.09, n: 20, p: 0.4, want: Unclear, rounds: 96},
		{name: "hardly unclear", value: 1.0001, low: 0.951, high: 1.049, n: 20, p: 0.9, want: Unclear, rounds: 21},
		{name: "no interval", value: 1.5, low: 0, high: math.Inf(1), n: 20, p: 0.4, want: Unclear},
		{name: "few rounds", value: 1.97, low: 1.77, high: 2.02, n: 11, p: 1e-3, limit: 2, want: NoVerdict},
		{name: "contaminated", value: 1.97, low: 1.77, high: 2.02, n: 20, p: 1e-5, doubt: "others", want: NoVerdict},
		{name: "beyond the limit", value: 2.11, low: 2.0, high: 2.2, n: 20, p: 1e-5, limit: 2, want: Invalid},
		{name: "just below it", value: 2.09, low: 2.0, high: 2.2, n: 20, p: 1e-5, limit: 2, want: Faster},
		{name: "itself, the same", value: 1.02, low: 1.01, high: 1.03, n: 20, p: 1e-3, self: true, want: Same},
		{name: "itself, unclear", value: 1.05, low: 1.01, high: 1.1, n: 20, p: 1e-3, self: true, want: Unclear, rounds: 21},
		{name: "itself, but different", value: 1.5, low: 1.4, high: 1.6, n: 20, p: 1e-3, self: true, want: NoVerdict},
		{name: "failed check", value: 1.97, low: 1.77, high: 2.02, n: 20, p: 1e-5, wrong: "failed", doubt: "others", want: Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Claim{Ratio: Estimate{tt.value, tt.low, tt.high, 0.95, tt.n}, P: tt.p, Limit: tt.limit, Self: tt.self, Wrong: tt.wrong, Doubt: tt.doubt}
			v := Judge(c)
			if v.Word != tt.want || v.Rounds != tt.rounds {
				t.Errorf("Judge(%+v) = %+v; want %q and %d rounds", c, v, tt.want, tt.rounds)
			}
			if (v.Word == NoVerdict || v.Word == Invalid) != (v.Why != "") {
				t.Errorf("Judge(%+v) = %+v; want a reason just if there is no verdict", c, v)
			}
		})
	}
}

// A ratio and its inverse get corresponding verdicts.
func TestJudgeIsSymmetric(t *testing.T) {
	mirror := map[Word]Word{Faster: Slower, Slower: Faster, SlightlyFaster: SlightlySlower, SlightlySlower: SlightlyFaster, Same: Same, Unclear: Unclear}
	rng := rand.New(rand.NewPCG(8, 8))
	seen := make(map[Word]int)
	for range 2000 {
		v := 0.15 * rng.NormFloat64()
		h := 0.1 * rng.ExpFloat64()
		p := 0.1 * rng.Float64()
		up := Judge(Claim{Ratio: Estimate{math.Exp(v), math.Exp(v - h), math.Exp(v + h), 0.95, 20}, P: p})
		down := Judge(Claim{Ratio: Estimate{math.Exp(-v), math.Exp(-v - h), math.Exp(-v + h), 0.95, 20}, P: p})
		if down.Word != mirror[up.Word] || down.Rounds != up.Rounds {
			t.Fatalf("%v ± %v is %+v, its inverse %+v", v, h, up, down)
		}
		seen[up.Word]++
	}
	if len(seen) != len(mirror) {
		t.Errorf("only these words were given: %v", seen)
	}
}

// On a noisy machine the verdict may be unclear, but it is not wrong, and real
// differences are found. With so much noise that 20 rounds cannot show 20 %, 4 of
// 1,000 comparisons of equal programs were called different.
func TestVerdictsOnKnownEffects(t *testing.T) {
	tests := []struct {
		name          string
		effect, noise float64
		spikes        float64      // share of trials that took up to three times as long
		most          map[Word]int // of 1,000 runs
		least         map[Word]int // of 1,000 runs
	}{
		{"none, quiet", 0, 0.02, 0, map[Word]int{Faster: 0, Slower: 0}, map[Word]int{Same: 950}},
		{"none, noisy", 0, 0.1, 0.05, map[Word]int{Faster: 0, Slower: 0}, nil},
		{"none, very noisy", 0, 0.15, 0.1, map[Word]int{Faster: 3, Slower: 3}, nil},
		{"a tenth, quiet", 0.1, 0.02, 0, map[Word]int{Slower: 0, SlightlySlower: 0, Same: 0}, map[Word]int{Faster: 990}},
		{"a fifth, noisy", 0.2, 0.15, 0.1, map[Word]int{Slower: 0, SlightlySlower: 0, Same: 0}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(9, 9))
			time := func() float64 {
				log := tt.noise / math.Sqrt2 * rng.NormFloat64()
				if rng.Float64() < tt.spikes {
					log += rng.Float64() * math.Log(3)
				}
				return math.Exp(log)
			}
			words := make(map[Word]int)
			for range 1000 {
				a, b, diffs := make([]float64, 20), make([]float64, 20), make([]float64, 20)
				for i := range a {
					a[i], b[i] = time()*(1+tt.effect), time()
					diffs[i] = math.Log(a[i] / b[i])
				}
				words[Judge(Claim{Ratio: Ratio(a, b, 0.95), P: SignedRank(diffs)}).Word]++
			}
			for w, n := range tt.most {
				if words[w] > n {
					t.Errorf("%d of 1,000 runs said %q; want at most %d: %v", words[w], w, n, words)
				}
			}
			for w, n := range tt.least {
				if words[w] < n {
					t.Errorf("%d of 1,000 runs said %q; want at least %d: %v", words[w], w, n, words)
				}
			}
		})
	}
}
