package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

// Resume is the plan of a run that was recorded. It fails if this program
// or machine is not the one that began it: their trials could not be compared.
func Resume(run results.Run, kinds spec.Kinds) (*Plan, error) {
	if err := sameProgram(run); err != nil {
		return nil, err
	}
	p := &Plan{Run: run}
	var programs []spec.Program
	for _, info := range run.Workloads {
		w, err := kinds.Workload(info.Name)
		if err != nil {
			return nil, err
		}
		params, err := spec.DecodeParams(w, info.Params)
		if err != nil {
			return nil, err
		}
		programs = append(programs, spec.Program{Workload: w, Label: info.Label, Params: params})
	}
	var backends []*core.Backend
	for _, info := range run.Backends {
		b, err := kinds.Backend(info.Name)
		if err != nil {
			return nil, err
		}
		backends = append(backends, b)
	}
	p.index(programs, backends)
	p.budget()
	return p, nil
}

// sameProgram checks that a run goes on with what it was begun with.
func sameProgram(run results.Run) error {
	version, err := thisVersion()
	if err != nil {
		return err
	}
	if version.Executable != run.Version.Executable {
		return fmt.Errorf("the run was begun by another build of this program (%s, this is %s); trials of two builds cannot be compared: start a new run", run.Version.Executable, version.Executable)
	}
	if m := thisMachine(); m != run.Machine {
		return fmt.Errorf("the run was begun on another machine (%+v, this is %+v); start a new run", run.Machine, m)
	}
	for _, b := range run.Builds {
		if err := sameBuild(b); err != nil {
			return err
		}
	}
	return nil
}

// sameBuild checks that a build of a run is what it was.
func sameBuild(was results.Build) error {
	now, err := NewBuild(was.Name, was.Path)
	if err != nil {
		return fmt.Errorf("build %s, is gone; start a new run: %w", was, err)
	}
	if now.Executable == was.Executable {
		return nil
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(union(was.Settings, now.Settings))) {
		if a, b := was.Settings[key], now.Settings[key]; a != b {
			differ = append(differ, fmt.Sprintf("%s was %q and is %q", key, a, b))
		}
	}
	if differ == nil {
		differ = []string{"the settings that it tells are the same, which -ldflags are not among"}
	}
	return fmt.Errorf("build %s, is not what it was: it is %s now (%s); trials of two builds cannot be put together: start a new run", was, now.Executable, strings.Join(differ, ", "))
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, b)
	return all
}
