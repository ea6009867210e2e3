package workloads

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// ProdCons is the course's producer and consumer demo.
var ProdCons = &harness.Workload{
	Name: "prodcons",
	Doc: `coordinating: two producers, one consumer and a queue

The course's generate_data and process_data. Each producer puts 20 squares
into a queue and waits between half a second and one and a half after each;
the consumer takes all 40 and waits half a second after each. All waits are
scaled. One after the other that takes the sum of all waits, overlapped about
the longer of the two sides: with one producer's waits adding up to 20 s and
the consumer's to 20 s, 60 s against 20 s. The latency of an item is the time
it lies in the queue.`,
	Params:  &prodconsParams{Items: 20, Scale: 0.005, Seed: 1},
	Tasks:   []executor.AnyTask{produceTask, consumeTask, delayTask},
	Workers: always(3),
	Nominal: func(p any) time.Duration {
		q := p.(*prodconsParams)
		return time.Duration(float64(q.Items) * producers * 1.5 * q.Scale * float64(time.Second))
	},
	Serve: serveDelays,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*prodconsParams)
		rng := rand.New(rand.NewPCG(p.Seed, 0))
		s := &prodconsSession{p: p, addr: env.Addr, workers: env.Workers}
		for i := range s.waits {
			for range p.Items {
				s.waits[i] = append(s.waits[i], p.scaled(0.5+rng.Float64()))
			}
		}
		return s, nil
	},
}

type prodconsParams struct {
	Items int     `yaml:"items" doc:"items of each of the two producers"`
	Scale float64 `yaml:"scale" doc:"factor on all waits; 1 is the course's own speed"`
	Seed  uint64  `yaml:"seed" doc:"of the producers' random waits"`
}

// Validate implements what Workload.Params asks for.
func (p *prodconsParams) Validate() error {
	if p.Items < 1 || p.Items > 100_000 || !(p.Scale >= 0 && p.Scale <= 10) {
		return fmt.Errorf("items is %d and scale is %v; want 1 to 100,000 and 0 to 10", p.Items, p.Scale)
	}
	return nil
}

const producers = 2

func (p prodconsParams) scaled(seconds float64) time.Duration {
	return time.Duration(seconds * p.Scale * float64(time.Second))
}

// An item is what goes through the queue.
type item struct {
	Producer int           `json:"producer"`
	Index    int           `json:"index"`
	Square   int           `json:"square"`
	Put      harness.Stamp `json:"put_ns"`
}

type produceIn struct {
	Producer int                   `json:"producer"`
	Queue    *executor.Queue[item] `json:"queue"`
	Addr     string                `json:"addr"`
	Waits    []time.Duration       `json:"waits_ns"` // one per item
}

// produceTask is generate_data. It returns how many items it put.
var produceTask = executor.NewTask("prodcons.produce", func(ctx context.Context, in produceIn) (int64, error) {
	for i, w := range in.Waits {
		n := i + 1
		if err := in.Queue.Put(ctx, item{in.Producer, n, n * n, harness.Now()}); err != nil {
			return int64(i), err
		}
		if err := delays.wait(ctx, in.Addr, w); err != nil {
			return int64(i), err
		}
	}
	return int64(len(in.Waits)), nil
})

type consumeIn struct {
	Queue *executor.Queue[item] `json:"queue"`
	Addr  string                `json:"addr"`
	Items int                   `json:"items"`
	Wait  time.Duration         `json:"wait_ns"` // after each item
}

type consumed struct {
	Items   []item          `json:"items"`
	Latency []time.Duration `json:"latency_ns"` // of each item
}

// consumeTask is process_data.
var consumeTask = executor.NewTask("prodcons.consume", func(ctx context.Context, in consumeIn) (consumed, error) {
	var out consumed
	for range in.Items {
		it, err := in.Queue.Get(ctx)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, it)
		out.Latency = append(out.Latency, harness.Now().Sub(it.Put))
		if err := delays.wait(ctx, in.Addr, in.Wait); err != nil {
			return out, err
		}
	}
	return out, nil
})

type prodconsSession struct {
	p       prodconsParams
	addr    string
	workers int
	waits   [producers][]time.Duration
	out     consumed
}

func (s *prodconsSession) Warm(ctx context.Context, ex *executor.Executor) error {
	return warmDelays(ctx, ex, s.addr, s.workers)
}

func (s *prodconsSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	// The queue holds every item, since a model that runs one task after the
	// other has put them all before it takes the first.
	q := executor.NewQueue[item](producers * s.p.Items)
	defer func() { err = errors.Join(err, q.Close(ctx)) }()
	var puts []*executor.Future[int64]
	for i, w := range s.waits {
		puts = append(puts, produceTask.Submit(ctx, ex, produceIn{i, q, s.addr, w}))
	}
	takes := consumeTask.Submit(ctx, ex, consumeIn{q, s.addr, producers * s.p.Items, s.p.scaled(0.5)})
	for _, f := range puts {
		if _, err := f.Wait(ctx); err != nil {
			takes.Cancel() // it would wait for items that do not come
			return err
		}
	}
	s.out, err = takes.Wait(ctx)
	return err
}

// Check expects every item of every producer exactly once, those of one
// producer in order, and sums the squares by the closed form.
func (s *prodconsSession) Check() (harness.Outcome, error) {
	var next [producers]int
	sum := 0
	for _, it := range s.out.Items {
		if it.Producer < 0 || it.Producer >= producers || it.Index != next[it.Producer]+1 || it.Square != it.Index*it.Index {
			return harness.Outcome{}, fmt.Errorf("item %+v was out of order, came twice or was changed; the last ones were %v", it, next)
		}
		next[it.Producer]++
		sum += it.Square
	}
	n := s.p.Items
	if want := producers * n * (n + 1) * (2*n + 1) / 6; sum != want || len(s.out.Items) != producers*n {
		return harness.Outcome{}, fmt.Errorf("%d items with a sum of %d were consumed; want %d with %d", len(s.out.Items), sum, producers*n, want)
	}
	latency := slices.Sorted(slices.Values(s.out.Latency))
	mean := time.Duration(0)
	for _, l := range latency {
		mean += l / time.Duration(len(latency))
	}
	return harness.Outcome{
		Digest: harness.Digest([]any{next, sum}), // who came before whom may differ
		Tasks:  producers + 1,
		Metrics: []harness.Metric{
			{Name: "latency_mean", Unit: "ns", Value: float64(mean)},
			{Name: "latency_median", Unit: "ns", Value: float64(latency[len(latency)/2])},
			{Name: "latency_max", Unit: "ns", Value: float64(latency[len(latency)-1])},
		},
	}, nil
}

func (s *prodconsSession) Close() error { return delays.close(s.addr) }
