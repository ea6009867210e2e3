package profile

import (
	"debug/elf"
	"debug/gosym"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
)

// functions returns the names of all functions of the program.
func functions(t *testing.T) (names []string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Skipf("this program's table of functions cannot be read: %v", err)
	}
	defer f.Close()
	table, text := f.Section(".gopclntab"), f.Section(".text")
	if table == nil || text == nil {
		t.Skip("this program has no table of functions")
	}
	b, err := table.Data()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := gosym.NewTable(nil, gosym.NewLineTable(b, text.Addr))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range symbols.Funcs {
		names = append(names, f.Name)
	}
	return names
}

func nameOf(f any) string { return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name() }

// Every name stands for a function that there is. Where backends and tasks are
// concerned, TestNamesInStacks finds it at work.
func TestNamesResolve(t *testing.T) {
	all := functions(t)
	if name := nameOf(pprof.Do); !callsLabelled.Has(name) { // and it is linked
		t.Errorf("pprof.Do has the name %s; want one of %s", name, strings.Join(callsLabelled, ", "))
	}
	for _, code := range []Code{WaitsForLock, Allocates, collects, observes, callsLabelled} {
		for _, name := range code {
			if one := (Code{name}); !slices.ContainsFunc(all, one.Has) {
				t.Errorf("there is no function %s in this program: its name in names.go is out of date", name)
			}
		}
	}
	for what, f := range map[string]any{
		"Exclude": Exclude, "snapshot": snapshot, "Labels.with": Labels.with, "Labels.Set": Labels.Set, "Labels.Observer": Labels.Observer,
		"Labels.LabelTasks": Labels.LabelTasks, "labeller.start": (*labeller).start, "labeller.end": (*labeller).end, "labeller.context": (*labeller).context,
	} {
		if name := nameOf(f); !observes.Has(name) {
			t.Errorf("%s has the name %s, which is none of %s: its samples would be taken for the program's", what, name, strings.Join(observes, ", "))
		}
	}
}
