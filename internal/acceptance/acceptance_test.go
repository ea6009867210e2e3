package acceptance

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	ok := outcome{measured: true}
	no := outcome{failed: true, measured: true}
	busy := outcome{failed: true, measured: true, unfit: "busy"}
	little := outcome{failed: true, measured: true, undecided: "too little was measured"}
	wrong := outcome{failed: true}
	tests := []struct {
		name  string
		tries []outcome
		since time.Duration
		want  verdict
	}{
		{"success", []outcome{ok}, 0, passed},
		{"success after failures", []outcome{no, no, ok}, 0, passed},
		{"success without a line that measures", []outcome{{}}, 0, passed},
		{"what does not depend on the machine", []outcome{wrong}, 0, failed},
		{"the same on a busy machine", []outcome{busy, {failed: true, unfit: "busy"}}, 0, failed},
		{"two failures", []outcome{no, no}, 0, tryAgain},
		{"three failures", []outcome{no, no, no}, 0, failed},
		{"three failures among others", []outcome{no, busy, no, little, no}, time.Hour, failed},
		{"three failures on a busy machine", []outcome{busy, busy, busy}, 0, tryAgain},
		{"five failures on a busy machine", []outcome{busy, busy, busy, busy, busy}, 0, notDecided},
		{"no time for more", []outcome{busy}, mostTime, notDecided},
		{"two failures and no time for more", []outcome{no, no}, mostTime, notDecided},
		{"too little was measured", []outcome{little, little, little, little, little}, 0, notDecided},
		{"not for this system", []outcome{{skipped: "no /proc"}}, 0, notDecided},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, why := judge(tt.tries, tt.since); got != tt.want {
				t.Errorf("judge(%+v, %v) = %v (%s); want %v", tt.tries, tt.since, got, why, tt.want)
			}
		})
	}
}

// A failure does not count if the machine did not give what was needed.
func TestUnfit(t *testing.T) {
	good := given{cores: 2, late: time.Millisecond}
	need := Need{Cores: 1.5, Timers: 2 * time.Millisecond, Others: 0.1}
	tests := []struct {
		name string
		try  Try
		fit  bool
	}{
		{"good", Try{need: need, before: good, after: good, others: 0.1}, true},
		{"needs nothing", Try{others: 0.9}, true},
		{"others meanwhile", Try{need: need, before: good, after: good, others: 0.11}, false},
		{"few cores before", Try{need: need, before: given{cores: 1.4}, after: good}, false},
		{"few cores after", Try{need: need, before: good, after: given{cores: 1.4}}, false},
		{"late timers", Try{need: need, before: good, after: given{2, 3 * time.Millisecond}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if why := tt.try.unfit(); (why == "") != tt.fit {
				t.Errorf("unfit() = %q; want that it is fit: %v", why, tt.fit)
			}
		})
	}
}

// How a try ends is what it came to.
func TestTry(t *testing.T) {
	tests := []struct {
		name string
		f    func(*Try)
		want outcome
	}{
		{"success", func(t *Try) { t.Measured() }, outcome{measured: true}},
		{"fatal", func(t *Try) { t.Fatal("why") }, outcome{failed: true}},
		{"fatal later", func(t *Try) { t.Measured(); t.Fatal("why") }, outcome{failed: true, measured: true}},
		{"undecided", func(t *Try) { t.Measured(); t.Undecided("why") }, outcome{failed: true, measured: true, undecided: "why"}},
		{"skipped", func(t *Try) { t.Skip("why") }, outcome{skipped: "why"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			try := &Try{look: func() given { return given{} }}
			try.run(tt.f)
			got := try.outcome()
			got.machine, got.unfit = "", ""
			if got != tt.want {
				t.Errorf("it came to %+v; want %+v", got, tt.want)
			}
		})
	}
}
