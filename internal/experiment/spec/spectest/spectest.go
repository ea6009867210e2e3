// Package spectest has workloads and backends that are planned in tests and never
// run.
package spectest

import (
	"context"
	"fmt"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// Params are parameters of every type.
type Params struct {
	N     int           `yaml:"n" doc:"things"`
	Wait  time.Duration `yaml:"wait" doc:"time"`
	Scale float64       `yaml:"scale" doc:"factor"`
	Big   uint64        `yaml:"big" doc:"large"`
	Name  string        `yaml:"name" doc:"text"`
	On    bool          `yaml:"on" doc:"switch"`
}

// Validate refuses an n above 100.
func (p *Params) Validate() error {
	if p.N > 100 {
		return fmt.Errorf("n is %d; want at most 100", p.N)
	}
	return nil
}

var task = core.NewTask("alpha", func(context.Context, int) (int, error) { return 0, nil })

// Workloads are two: one that takes a second and has parameters, one whose tasks
// share memory.
var Workloads = []*harness.Workload{
	{
		Name: "alpha", Doc: "first\n\nmore", Params: &Params{N: 5, Wait: time.Second, Scale: 1, Name: "x"}, Tasks: []executor.AnyTask{task},
		Workers: func(cores int) int { return 4 * cores }, Nominal: func(p any) time.Duration { return p.(*Params).Wait },
	},
	{Name: "beta", Doc: "second", Tasks: []executor.AnyTask{task}, NeedsSharedMemory: true},
}

// Backends are three: the baseline, one that shares memory and one that does not.
var Backends = []*core.Backend{
	{Name: "sequential", Doc: "one", Shared: true, Serial: true, MaxWorkers: 1},
	{Name: "many", Doc: "all", Shared: true},
	{Name: "apart", Doc: "far"},
}
