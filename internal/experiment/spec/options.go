package spec

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// An Option is one thing that a user can say of a run. Everything that knows
// options derives from the entry: the flag, the variable, the key in a file, its
// schema, what harness init writes, what --resume refuses, and docs/options.md.
type Option struct {
	Name      string // of the flag; the variable and the key are made of it
	Short     string // of the flag, in one letter
	Kind      ValueKind
	Unit      string // what a number counts
	Doc       string // what it says, in a line
	Default   string // the value that it has if it is not given
	Otherwise string // in words what happens then, where there is no such value
	Example   string // a value

	Variable bool // the environment can give it
	Key      bool // a file can give it
	New      bool // it says what a new run is: one that is resumed goes on as it was planned

	// Min and Max bound a number, or nanoseconds; no Max is none.
	Min, Max int64
	// Want says in words what is wanted, where the bounds do not say it.
	Want string
	// Values returns what there is to choose from. An option that is Open can
	// have other values, too.
	Values func(Kinds) []Value
	Open   bool

	// Unless are options that say the same in another way: where one of them is
	// given in a place that has precedence, what this one says is dropped.
	Unless []string
	// Aside are flags beside which the variable of this option is not looked at,
	// though what the file says is.
	Aside []string
	// Conflicts are options that it cannot be given with.
	Conflicts []Conflict

	// field returns a pointer to where the value is stored; put stores it where
	// that takes more. One of them is set.
	field func(*Settings) any
	put   func(*Settings, Kinds, []any) error
	// node reads what a file says, where that is no value or list of values, and
	// schema describes it.
	node   func(*file, *Settings, node) error
	schema func(Kinds) object
	// begin is what a file to begin with says, where that is not the default.
	begin func(*Option, Settings, Kinds) (string, error)
}

// A Value is one of those that an option can have.
type Value struct{ Name, Doc string }

// A Conflict is an option that another cannot be given with.
type Conflict struct {
	With    string
	Why     string // and what to do
	Several bool   // only where this one has several values
}

// Options are all options of a run, in the order in which they are applied. A new
// option is one entry here, its field in [Settings], and its use.
var Options = []*Option{
	{
		Name: "workloads", Kind: Names, Doc: "workloads to run", Otherwise: "all", Example: "sqrt,mixed",
		Variable: true, Key: true, New: true, Values: workloadValues, Aside: []string{"only"},
		put: func(s *Settings, k Kinds, v []any) error { return s.choose(all[string](v), k) }, node: (*file).programs, schema: programsSchema, begin: beginPrograms,
	},
	{
		Name: "backends", Kind: Names, Doc: "backends to compare; sequential is always among them", Otherwise: "all", Example: "goroutines,processes",
		Variable: true, Key: true, New: true, Values: backendValues, Aside: []string{"only"},
		put: func(s *Settings, k Kinds, v []any) error { return s.setBackends(all[string](v), k) }, begin: beginBackends,
	},
	{
		Name: "only", Kind: Names, Doc: "only this cell beside the baseline of its workload, as sqrt/goroutines; may be repeated", Example: "sqrt/goroutines",
		New: true, Values: cellValues, Open: true,
		field: func(s *Settings) any { return &s.Only },
	},
	{
		Name: "workers", Kind: Numbers, Unit: "workers", Doc: "workers of every backend; a flag takes several, as 1,2,4,8,16, and varies them", Otherwise: "what suits each workload", Example: "8",
		Variable: true, Key: true, New: true, Max: mostWorkers, Want: wantWorkers,
		Conflicts: []Conflict{{With: "vary", Several: true, Why: "several numbers of workers vary them, and --vary something else; want one of them"}},
		put:       func(s *Settings, k Kinds, v []any) error { return s.SetWorkers(all[int](v), k) }, node: (*file).defaultWorkers, schema: workersSchema,
	},
	{
		Name: "preset", Kind: Text, Doc: "how much to measure", Default: presets[0].name, Example: "standard",
		Variable: true, Key: true, New: true, Values: presetValues,
		field: func(s *Settings) any { return &s.Preset },
	},
	{
		Name: "rounds", Kind: Int, Unit: "rounds", Doc: "rounds to make", Otherwise: "those of the preset", Example: "20",
		Variable: true, Key: true, New: true, Min: 1, Max: 10_000, Unless: []string{"preset", "precision", "time-budget"},
		field: func(s *Settings) any { return &s.Rounds },
	},
	{
		Name: "precision", Kind: Share, Doc: "instead of a number of rounds: make 12 to 60, until every interval is this narrow, such as 2%", Example: "2%",
		Variable: true, Key: true, New: true, Unless: []string{"preset", "rounds", "time-budget"},
		Conflicts: []Conflict{{With: "rounds", Why: "both rounds and precision are given: either the number of rounds is fixed, or rounds are made until the figures are precise"}},
		field:     func(s *Settings) any { return &s.Precision },
	},
	{
		Name: "time-budget", Kind: Duration, Unit: "time", Otherwise: "as long as it takes", Example: "10m",
		Doc:      "make as many rounds as fit, so that all is done in this time, such as 10m; with rounds or precision, at most as many as those ask for",
		Variable: true, Key: true, New: true, Min: int64(time.Second),
		field: func(s *Settings) any { return &s.Budget },
	},
	{
		Name: "trial", Kind: Duration, Unit: "time", Doc: "least measured time of a trial; shorter programs are repeated", Default: "100ms", Example: "100ms",
		Variable: true, Key: true, New: true, Min: 1, Want: "more than 0, such as 100ms",
		field: func(s *Settings) any { return &s.Trial },
	},
	{
		Name: "observers", Kind: Int, Unit: "rounds", Doc: "rounds by which the cost of observing is measured", Otherwise: "those of the preset", Example: "12",
		Variable: true, Key: true, New: true, Max: 1000, Want: "the rounds by which their cost is measured, up to 1,000, or 0 for not at all",
		Unless: []string{"preset"}, field: func(s *Settings) any { return &s.ObserverRounds },
	},
	{
		Name: "vary", Kind: Repeated, Example: "mixed.cpu=100us,1ms",
		Doc: "run workloads once for each value of size, wait, payload or workers, as axis or axis=value,value; or of a parameter, as workload.name=value,value",
		New: true, put: each((*Settings).SetVary),
	},
	{
		Name: "seed", Kind: Seed, Doc: "seed of the random order", Otherwise: "a new one", Example: "7",
		Variable: true, Key: true, New: true,
		field: func(s *Settings) any { return &s.Seed },
	},
	{
		Name: "param", Kind: Repeated, Doc: "parameter of a workload, as workload.name=value; may be repeated", Example: "mixed.wait=2ms",
		New: true, put: each((*Settings).SetParam),
	},
	{
		Name: "timeout", Kind: Duration, Unit: "time", Doc: "longest that a trial may take", Default: "1m", Example: "2m",
		Variable: true, Key: true, New: true, Min: int64(time.Second),
		field: func(s *Settings) any { return &s.Timeout },
	},
	{
		Name: "out", Kind: Text, Doc: "folder for the results, new or empty", Otherwise: "run-ID", Example: "results/monday",
		New: true, field: func(s *Settings) any { return &s.Out },
	},
	{
		Name: "resume", Kind: Text, Doc: "folder of an interrupted run to continue", Example: "run-20260102-030405-abcd",
		field: func(s *Settings) any { return &s.Resume },
	},
	{
		Name: "otlp", Kind: Text, Doc: "also send spans and metrics to this OTLP receiver, such as http://localhost:4318", Otherwise: "what OTEL_* says", Example: "http://localhost:4318",
		Variable: true, field: func(s *Settings) any { return &s.OTLP },
	},
	{
		Name: "listen", Kind: Text, Doc: "serve metrics while the run goes on, at this loopback address, such as 127.0.0.1:9464", Otherwise: "what OTEL_* says", Example: "127.0.0.1:9464",
		Variable: true, field: func(s *Settings) any { return &s.Listen },
	},
	{
		Name: "jaeger", Kind: Switch, Doc: "afterwards start a Jaeger with the spans and print where each trial is to be seen",
		field: func(s *Settings) any { return &s.Jaeger },
	},
	{
		Name: "dry-run", Kind: Switch, Doc: "print the plan and stop",
		New: true, field: func(s *Settings) any { return &s.DryRun },
	},
	{
		Name: "json", Kind: Switch, Doc: "print the report as JSON",
		field: func(s *Settings) any { return &s.JSON },
	},
	{
		Name: "progress", Kind: Text, Doc: "progress on standard error", Default: "auto", Example: "plain",
		Variable: true, Values: func(Kinds) []Value { return []Value{{Name: "auto"}, {Name: "plain"}, {Name: "json"}, {Name: "none"}} },
		field: func(s *Settings) any { return &s.Progress },
	},
	{
		Name: "quiet", Short: "q", Kind: Switch, Doc: "print the report and what is wrong, and nothing else",
		Variable: true, field: func(s *Settings) any { return &s.Quiet },
	},
}

// Lookup returns the option of that name. There must be one.
func Lookup(name string) *Option {
	i := slices.IndexFunc(Options, func(o *Option) bool { return o.Name == name })
	return Options[i]
}

// KeyName returns the key of the option in a file, and VariableName the variable
// that gives it.
func (o *Option) KeyName() string { return strings.ReplaceAll(o.Name, "-", "_") }

// VariableName returns the variable that gives the option.
func (o *Option) VariableName() string { return "HARNESS_" + strings.ToUpper(o.KeyName()) }

// Usage says in a line what the option is, what it can be, and what it is if it is
// not given.
func (o *Option) Usage() string {
	s := o.Doc
	if o.closed() {
		s += ": " + strings.Join(names(o.Values(Kinds{})), ", ")
	}
	if by := o.Default + o.Otherwise; by != "" {
		s += " (" + by + ")"
	}
	return s
}

// closed reports whether the option has one of few values, whatever the kinds.
func (o *Option) closed() bool { return o.Values != nil && len(o.Values(Kinds{})) > 0 }

// Wanted says in words what values the option has.
func (o *Option) Wanted() string {
	switch {
	case o.Want != "":
		return o.Want
	case o.closed():
		return anyOf(names(o.Values(Kinds{})))
	}
	return o.Kind.want(o)
}

// check refuses a value that the option cannot have.
func (o *Option) check(v any, text string, kinds Kinds) error {
	if n, ok := numberOf(v); ok && (n < o.Min || o.Max != 0 && n > o.Max) {
		return wantError{text, o.Wanted()}
	}
	if o.Values == nil || o.Open {
		return nil
	}
	known := names(o.Values(kinds))
	if slices.Contains(known, text) {
		return nil
	}
	if o.closed() && len(nearest(text, known)) == 0 {
		return wantError{quoted(text), o.Wanted()}
	}
	what := o.Name
	if o.Kind.List != "" {
		what = strings.TrimSuffix(what, "s")
	}
	return unknown(what, text, known)
}

// set gives the option its values. The last of them counts where it has one.
func (o *Option) set(s *Settings, kinds Kinds, given []given) error {
	if len(given) == 0 {
		return nil
	}
	if o.Kind.List == "" {
		given = given[len(given)-1:]
	}
	var values []any
	for _, g := range given {
		v, ok := o.Kind.parse(g.text)
		if !ok {
			return g.at.wrap(wantError{quoted(g.text), o.Wanted()})
		}
		if err := o.check(v, g.text, kinds); err != nil {
			return g.at.wrap(err)
		}
		values = append(values, v)
	}
	s.note(o, given)
	if o.put != nil {
		return given[0].at.wrap(o.put(s, kinds, values))
	}
	o.store(s, values)
	return nil
}

// store puts values into the option's field.
func (o *Option) store(s *Settings, values []any) {
	to := reflect.ValueOf(o.field(s)).Elem()
	switch to.Kind() {
	case reflect.Slice:
		to.SetZero()
		for _, v := range values {
			to.Set(reflect.Append(to, reflect.ValueOf(v)))
		}
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		to.Elem().Set(reflect.ValueOf(values[0]))
	default:
		to.Set(reflect.ValueOf(values[0]))
	}
}

// reset drops what was said of the option.
func (o *Option) reset(s *Settings) {
	if o.field != nil {
		reflect.ValueOf(o.field(s)).Elem().SetZero()
	}
	delete(s.places, o.Name)
}

// has reports whether the option has a value.
func (s *Settings) has(o *Option) bool {
	_, given := s.places[o.Name]
	return given || o.field != nil && !reflect.ValueOf(o.field(s)).Elem().IsZero()
}

// verify checks what settings say, wherever they come from.
func (s *Settings) verify(kinds Kinds) error {
	for _, o := range Options {
		if o.field == nil || !s.has(o) {
			continue
		}
		v := reflect.Indirect(reflect.ValueOf(o.field(s)).Elem()).Interface()
		if err := o.check(v, textOf(v), kinds); err != nil {
			return s.At(o.Name, err)
		}
	}
	return s.conflict()
}

// conflict says which of the options cannot be given together.
func (s *Settings) conflict() error {
	for _, o := range Options {
		for _, c := range o.Conflicts {
			if s.has(o) && s.has(Lookup(c.With)) && (!c.Several || s.places[o.Name].several) {
				return s.At(o.Name, errors.New(c.Why))
			}
		}
	}
	return nil
}

// fill gives what settings leave open the value that it has by default.
func (s *Settings) fill() {
	for _, o := range Options {
		if o.Default == "" || s.has(o) {
			continue
		}
		v, _ := o.Kind.parse(o.Default) // a test holds that it can be
		o.store(s, []any{v})
	}
}

func all[T any](values []any) []T {
	var typed []T
	for _, v := range values {
		typed = append(typed, v.(T))
	}
	return typed
}

// each has one value after the other applied.
func each(f func(*Settings, string, Kinds) error) func(*Settings, Kinds, []any) error {
	return func(s *Settings, kinds Kinds, values []any) error {
		for _, v := range values {
			if err := f(s, v.(string), kinds); err != nil {
				return err
			}
		}
		return nil
	}
}

func names(values []Value) (all []string) {
	for _, v := range values {
		all = append(all, v.Name)
	}
	return all
}

func workloadValues(k Kinds) (all []Value) {
	for _, w := range k.Workloads {
		all = append(all, Value{w.Name, FirstLine(w.Doc)})
	}
	return all
}

func backendValues(k Kinds) (all []Value) {
	for _, b := range k.Backends {
		all = append(all, Value{b.Name, FirstLine(b.Doc)})
	}
	return all
}

func cellValues(k Kinds) (all []Value) {
	for _, w := range k.Workloads {
		for _, b := range k.Backends {
			all = append(all, Value{Name: w.Name + "/" + b.Name})
		}
	}
	return all
}

func presetValues(Kinds) (all []Value) {
	for _, p := range presets {
		all = append(all, Value{Name: p.name})
	}
	return all
}

// setBackends chooses backends, in the order of the list and the baseline among
// them in any case.
func (s *Settings) setBackends(chosen []string, kinds Kinds) error {
	s.Backends = nil
	for _, b := range kinds.Backends {
		if b.Name == baseline || slices.Contains(chosen, b.Name) {
			s.Backends = append(s.Backends, b)
		}
	}
	return nil
}

// defaultBackends are all but variants.
func defaultBackends(kinds Kinds) []*core.Backend {
	return slices.DeleteFunc(slices.Clone(kinds.Backends), func(b *core.Backend) bool { return b.Variant })
}
