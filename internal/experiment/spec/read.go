package spec

import (
	"errors"
	"fmt"
	"slices"
)

// Given holds the texts that were given for options, by the options' names.
type Given map[string][]string

// Add adds the text of a flag or a variable. If the option has a single value, the text
// replaces what was given before.
func (g Given) Add(o *Option, text string) {
	if o.Kind.List == "" {
		delete(g, o.Name)
	}
	g[o.Name] = append(g[o.Name], o.Kind.split(text)...)
}

// Sources are where a user gives options. A flag has precedence over the environment, and
// the environment over the file.
type Sources struct {
	File   string // name of the experiment file; empty if there is none
	Data   []byte // content of the file
	Getenv func(variable string) string
	Flags  Given
}

// Read reads settings. An error names the flag, the variable, or the file with line and
// column, and says what is wrong there and what is wanted.
func Read(from Sources, kinds Kinds) (s Settings, err error) {
	if err := from.resumes(); err != nil {
		return s, err
	}
	if from.File != "" {
		if s, err = ParseFile(from.File, from.Data, kinds); err != nil {
			return s, err
		}
	}
	all := from.effective()
	for _, o := range Options {
		replaced := slices.ContainsFunc(o.ReplacedBy, func(other string) bool { return all[other] != nil })
		switch given := all[o.Name]; {
		case given != nil:
			if err := o.set(&s, kinds, given); err != nil {
				return s, err
			}
		case replaced:
			o.reset(&s)
		}
	}
	return s, nil
}

// resumes fails if a run is to be resumed together with options that would change it.
func (from Sources) resumes() error {
	if from.Flags["resume"] == nil {
		return nil
	}
	if from.File != "" {
		return errors.New("--resume continues the run as it was planned; it takes no experiment file")
	}
	for _, o := range Options {
		if o.New && from.Flags[o.Name] != nil {
			return fmt.Errorf("--resume continues the run as it was planned; it cannot be combined with --%s", o.Name)
		}
	}
	return nil
}

// effective returns the values of flags, and those of variables that no flag replaces, by
// the options' names.
func (from Sources) effective() map[string][]given {
	all := make(map[string][]given)
	for _, o := range Options {
		texts, at := from.Flags[o.Name], place{name: "--" + o.Name}
		if texts == nil && o.Variable && from.Getenv != nil && !from.decides(o) {
			if text := from.Getenv(o.VariableName()); text != "" {
				texts, at = o.Kind.split(text), place{name: o.VariableName()}
			}
		}
		for _, text := range texts {
			all[o.Name] = append(all[o.Name], given{text, at})
		}
	}
	return all
}

// decides reports whether some flag makes the variable of an option ineffective.
func (from Sources) decides(o *Option) bool {
	isGiven := func(name string) bool { return from.Flags[name] != nil }
	return slices.ContainsFunc(o.ReplacedBy, isGiven) || slices.ContainsFunc(o.VariableIgnoredWith, isGiven) || o.New && isGiven("resume")
}

// A given is the text of a value and where it was given.
type given struct {
	text string
	at   place
}

// A place is where a value was given.
type place struct {
	where   string // file, line and column, if it is in a file
	name    string // of the flag, the variable or the key
	several bool   // several values were given there
}

// wrap adds the place to an error.
func (p place) wrap(err error) error {
	var want wantError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &want) && p.where == "":
		return fmt.Errorf("%s is %w", p.name, err)
	case errors.As(err, &want):
		return fmt.Errorf("%s: %s is %w", p.where, p.name, err)
	case p.where != "":
		return fmt.Errorf("%s: %w", p.where, err)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// note stores where an option was given.
func (s *Settings) note(o *Option, given []given) {
	if s.places == nil {
		s.places = make(map[string]place)
	}
	p := given[0].at
	p.several = len(given) > 1
	s.places[o.Name] = p
}

// At adds to an error the name of the option that it is about, and where that was given.
func (s *Settings) At(name string, err error) error {
	if p, ok := s.places[name]; ok {
		return p.wrap(err)
	}
	return place{name: Lookup(name).KeyName()}.wrap(err)
}
