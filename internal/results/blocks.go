package results

import (
	"math"
	"time"

	"github.com/f3f4c0de/harness/internal/stats"
)

// A Block has the trials that one round made of one workload, which are compared
// with each other. In an observer block they are the trials of one cell with
// different observers.
type Block struct {
	Workload string
	Round    int

	trials           map[string]*Trial // that were verified: by cell, in an observer block by observer
	first, replicate *Trial            // of the baseline
	started          time.Time         // of the first trial
	load             Load
	known            bool // the load of every trial is known
}

// Blocks groups the timed trials of a run into blocks, sorted by workload, in the
// run's order, and by round.
func Blocks(run *Run, trials []Trial) []*Block {
	cells := make(map[string]Cell)
	for _, c := range run.Cells {
		cells[c.ID] = c
	}
	type key struct {
		workload string
		round    int
	}
	blocks := make(map[key]*Block)
	rounds := 0
	for i := range trials {
		t := &trials[i]
		c, ok := cells[t.Cell]
		if t.Kind != Timed || !ok {
			continue
		}
		k := key{c.Workload, t.Round}
		b := blocks[k]
		if b == nil {
			b = &Block{Workload: c.Workload, Round: t.Round, trials: make(map[string]*Trial), known: true}
			blocks[k] = b
		}
		rounds = max(rounds, t.Round+1)
		b.add(t, c)
	}
	var sorted []*Block
	for _, w := range run.Workloads {
		for r := range rounds {
			if b := blocks[key{w.Label, r}]; b != nil {
				sorted = append(sorted, b)
			}
		}
	}
	return sorted
}

// ObserverBlocks groups the observer trials of a run into blocks, by cell, sorted by
// round. See [Block.ObserverPair].
func ObserverBlocks(run *Run, trials []Trial) map[string][]*Block {
	type key struct {
		cell  string
		round int
	}
	blocks := make(map[key]*Block)
	rounds := 0
	for i := range trials {
		t := &trials[i]
		if t.Kind != ObserverTrial {
			continue
		}
		k := key{t.Cell, t.Round}
		b := blocks[k]
		if b == nil {
			b = &Block{Round: t.Round, trials: make(map[string]*Trial), known: true}
			blocks[k] = b
		}
		rounds = max(rounds, t.Round+1)
		b.addLoad(t)
		if t.OK() {
			b.trials[t.Observer] = t
		}
	}
	sorted := make(map[string][]*Block)
	for _, c := range run.Cells {
		for r := range rounds {
			if b := blocks[key{c.ID, r}]; b != nil {
				b.Workload = c.Workload
				sorted[c.ID] = append(sorted[c.ID], b)
			}
		}
	}
	return sorted
}

// ObserverPair returns the figures of an observer block with the observer and with
// none. ok is false if one is missing.
func (b *Block) ObserverPair(observer string, m Metric) (num, den float64, ok bool) {
	num, den = figure(b.trials[observer], m), figure(b.trials[""], m)
	return num, den, !math.IsNaN(num) && !math.IsNaN(den)
}

// DropsObserverBlock reports whether an observer block is left out, as Drops does
// for the blocks of timed trials.
func (r *Run) DropsObserverBlock(b *Block) bool {
	return r.ObserverRounds >= stats.MinRounds && r.Disturbed(b)
}

func (b *Block) add(t *Trial, c Cell) {
	b.addLoad(t)
	switch {
	case !t.OK():
	case c.Baseline && t.Replicate:
		b.replicate = t
	case c.Baseline:
		b.first, b.trials[t.Cell] = t, t
	default:
		b.trials[t.Cell] = t
	}
}

// addLoad adds the start and the load of a trial to those of the block.
func (b *Block) addLoad(t *Trial) {
	if b.started.IsZero() || t.Started.Before(b.started) {
		b.started = t.Started
	}
	if t.Load == nil {
		b.known = false
	} else {
		b.load.WindowNS += t.Load.WindowNS
		b.load.BusyNS += t.Load.BusyNS
		b.load.OwnNS += t.Load.OwnNS
		b.load.StealNS += t.Load.StealNS
		b.load.PressureNS += t.Load.PressureNS
		b.load.ThrottledNS += t.Load.ThrottledNS
	}
}

// OtherCores returns how many processors other programs used on average while the
// trials of the block ran, and whether that is known. The system counts in
// hundredths of a second, which is too coarse for a trial but not for a block.
func (b *Block) OtherCores() (cores float64, known bool) {
	if !b.known || b.load.WindowNS <= 0 {
		return 0, false
	}
	return max(0, float64(b.load.BusyNS-b.load.OwnNS)/float64(b.load.WindowNS)), true
}

// Drops reports whether a block is left out of every statistic, because other
// programs used too much of the machine while its trials ran. Nothing is left out if
// the load is not known, or if the run is too short for verdicts: its report then
// warns instead.
func (r *Run) Drops(b *Block) bool { return r.Judged() && r.Disturbed(b) }

// Disturbed reports whether other programs are known to have used more processors
// during a block than they may.
func (r *Run) Disturbed(b *Block) bool {
	others, known := b.OtherCores()
	return known && others > stats.OtherCores(r.Machine.Cores)
}

// Judged reports whether the run was planned with enough rounds for verdicts.
func (r *Run) Judged() bool { return r.Rounds >= stats.MinRounds }

// Load returns the sum of the loads during the trials of the block.
func (b *Block) Load() Load { return b.load }

// Started returns when the first trial of the block was started.
func (b *Block) Started() time.Time { return b.started }

// Trial returns a cell's trial, or of the baseline the first trial; nil if it was
// not verified.
func (b *Block) Trial(cell string) *Trial { return b.trials[cell] }

// Trials returns the verified trials of a cell: of the baseline up to two.
func (b *Block) Trials(c Cell) []*Trial {
	var all []*Trial
	if t := b.trials[c.ID]; t != nil {
		all = append(all, t)
	}
	if b.replicate != nil && b.replicate.Cell == c.ID {
		all = append(all, b.replicate)
	}
	return all
}

// A Metric returns a figure of a trial. A value that is not positive is ignored.
type Metric func(*Measured) float64

// The metrics that are compared.
var (
	Wall Metric = func(m *Measured) float64 { return float64(m.WallNS) }
	Cold Metric = func(m *Measured) float64 { return float64(m.ColdNS()) }
	CPU  Metric = func(m *Measured) float64 { return float64(m.CPUNS()) }
)

// Cell returns a cell's figure in the block, or NaN if there is none. The figure of
// the baseline is that of [Block.Baseline].
func (b *Block) Cell(c Cell, m Metric) float64 {
	if c.Baseline {
		return b.Baseline(m)
	}
	return figure(b.trials[c.ID], m)
}

// Baseline returns the figure of the baseline's first trial, or of its A/A replicate
// if the first was not verified, or NaN. Every model has one trial at a random place
// in the round, so equal models are exchangeable, as the test assumes. The mean of
// the two trials varies less than one trial, so it would not be exchangeable.
func (b *Block) Baseline(m Metric) float64 {
	if x := figure(b.first, m); !math.IsNaN(x) {
		return x
	}
	return figure(b.replicate, m)
}

// Pair returns the figures of the baseline and of a cell; their ratio num/den is how
// many times less the cell takes. For the baseline's own cell they are those of its
// first trial and of its replicate. ok is false if one is missing.
func (b *Block) Pair(c Cell, m Metric) (num, den float64, ok bool) {
	if c.Baseline {
		num, den = figure(b.first, m), figure(b.replicate, m)
	} else {
		num, den = b.Baseline(m), b.Cell(c, m)
	}
	return num, den, !math.IsNaN(num) && !math.IsNaN(den)
}

func figure(t *Trial, m Metric) float64 {
	if t == nil {
		return math.NaN()
	}
	if v := m(&t.Measured); v > 0 {
		return v
	}
	return math.NaN()
}
