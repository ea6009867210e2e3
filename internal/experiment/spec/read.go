package spec

import (
	"errors"
	"fmt"
	"slices"
)

// Given is what was given for options, by their names: one or more values each.
type Given map[string][]string

// Add adds the text of a flag or a variable. Where the option has one value, it
// takes the place of what was given before.
func (g Given) Add(o *Option, text string) {
	if o.Kind.List == "" {
		delete(g, o.Name)
	}
	g[o.Name] = append(g[o.Name], o.Kind.split(text)...)
}

// Sources are where a user says what is wanted. A flag has precedence over the
// environment, which has it over the file.
type Sources struct {
	File   string // its name, if there is one
	Data   []byte // of it
	Getenv func(variable string) string
	Flags  Given
}

// Read reads settings. Errors name the place, the flag, the variable, or the file
// with line and column, what is wrong there and what would be right.
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
		replaced := slices.ContainsFunc(o.Unless, func(other string) bool { return all[other] != nil })
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

// resumes refuses what would change a run that has begun.
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

// effective returns what flags give, and what variables give that no flag says
// in the same or in another way.
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

// decides reports whether flags say what the variable of an option would.
func (from Sources) decides(o *Option) bool {
	isGiven := func(name string) bool { return from.Flags[name] != nil }
	return slices.ContainsFunc(o.Unless, isGiven) || slices.ContainsFunc(o.Aside, isGiven) || o.New && isGiven("resume")
}

// A given is a value in the place where it was given.
type given struct {
	text string
	at   place
}

// A place is where something was given.
type place struct {
	where   string // file, line and column, if it is in a file
	name    string // as it is called there
	several bool   // it has several values
}

// wrap says where an error is.
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

// note remembers where an option was given.
func (s *Settings) note(o *Option, given []given) {
	if s.places == nil {
		s.places = make(map[string]place)
	}
	p := given[0].at
	p.several = len(given) > 1
	s.places[o.Name] = p
}

// At says that an error is about an option, and where that was given.
func (s *Settings) At(name string, err error) error {
	if p, ok := s.places[name]; ok {
		return p.wrap(err)
	}
	return place{name: Lookup(name).KeyName()}.wrap(err)
}
