package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
)

// bindOptions adds the named options of a run, or all without names, to a command as
// flags. It returns the values that the user gives for them, once they are parsed.
func (a *app) bindOptions(cmd *cobra.Command, names ...string) spec.Given {
	options := spec.Options
	if len(names) > 0 {
		options = nil
		for _, name := range names {
			options = append(options, spec.Lookup(name))
		}
	}
	given := make(spec.Given)
	cmd.Flags().SortFlags = false
	for _, o := range options {
		flag := cmd.Flags().VarPF(optionValue{o, given}, o.Name, o.Short, o.Usage())
		if o.Kind.Name == spec.Switch.Name {
			flag.NoOptDefVal = "true"
		}
		if o.Values == nil {
			continue
		}
		var values []cobra.Completion
		for _, v := range o.Values(a.kinds) {
			values = append(values, cobra.CompletionWithDesc(v.Name, v.Doc))
		}
		if err := cmd.RegisterFlagCompletionFunc(o.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // two options have the same name
		}
	}
	return given
}

// An optionValue is the value of a flag. [spec.Read] checks it when all are known.
type optionValue struct {
	option *spec.Option
	given  spec.Given
}

// Set implements pflag.Value.
func (v optionValue) Set(text string) error {
	v.given.Add(v.option, text)
	return nil
}

// String implements pflag.Value. It returns no default, since the usage has it.
func (v optionValue) String() string { return "" }

// Type implements pflag.Value.
func (v optionValue) Type() string { return v.option.Kind.Name }

// settings reads the settings from the file, the environment and the flags.
func (a *app) settings(args []string, given spec.Given) (spec.Settings, error) {
	from := spec.Sources{Flags: given, Getenv: os.Getenv}
	if len(args) == 1 {
		data, err := os.ReadFile(args[0])
		if err != nil {
			return spec.Settings{}, fmt.Errorf("reading the experiment: %w", err)
		}
		from.File, from.Data = args[0], data
	}
	return spec.Read(from, a.kinds)
}
