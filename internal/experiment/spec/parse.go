package spec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A file is an experiment's file while it is read.
type file struct {
	name    string
	kinds   Kinds
	options []*Option
	anchors map[string]ast.Node
	merged  int // maps into others, so far
}

// mostMerged is how many maps may be merged into others: one may have itself in it.
const mostMerged = 1000

// A node is a value in a file, or a key.
type node = ast.Node

// ParseFile reads settings from YAML. Errors name the file, the line and the
// column.
func ParseFile(name string, data []byte, kinds Kinds) (Settings, error) {
	var s Settings
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return s, yamlError(name, err)
	}
	if len(parsed.Docs) > 1 {
		return s, fmt.Errorf("%s holds %d documents; want one", name, len(parsed.Docs))
	}
	f := &file{name: name, kinds: kinds, options: Options, anchors: make(map[string]ast.Node)}
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		ast.Walk(f, doc.Body)
		if err := f.settings(&s, doc.Body); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Visit notes an anchor. It makes a file an [ast.Visitor].
func (f *file) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		f.anchors[a.Name.String()] = a.Value
	}
	return f
}

// settings reads what a file says, key by key.
func (f *file) settings(s *Settings, body node) error {
	return f.pairs(body, func(key, value node) error {
		i := slices.IndexFunc(f.options, func(o *Option) bool { return o.Key && o.KeyName() == keyText(key) })
		if i < 0 {
			return f.at(key, unknown("field", keyText(key), f.fieldNames()))
		}
		o := f.options[i]
		switch {
		case value.Type() == ast.NullType:
			return nil
		case o.node != nil:
			return o.node(f, s, value)
		}
		return o.set(s, f.kinds, f.given(o, value))
	})
}

// given returns the values of an option, each with its place.
func (f *file) given(o *Option, value node) (all []given) {
	values := []node{value}
	if list, ok := value.(*ast.SequenceNode); ok && o.Kind.List != "" {
		values = list.Values
	}
	for _, v := range values {
		v = f.resolve(v)
		for _, one := range o.Kind.split(text(v)) {
			all = append(all, given{one, place{where: f.where(v), name: o.KeyName()}})
		}
	}
	return all
}

// programKeys are what a file says of a workload.
var programKeys = map[string]func(f *file, p *Program, value node) error{
	"workload": func(*file, *Program, node) error { return nil }, // it was looked up before
	"label":    (*file).label,
	"workers":  (*file).workers,
	"params":   (*file).params,
	"vary":     (*file).vary,
}

// fieldNames returns the keys of a file and of a workload in it.
func (f *file) fieldNames() (all []string) {
	for _, o := range f.options {
		if o.Key {
			all = append(all, o.KeyName())
		}
	}
	return slices.Concat(all, slices.DeleteFunc(sortedKeys(programKeys), func(key string) bool { return slices.Contains(all, key) }))
}

// programs reads the list of workloads.
func (f *file) programs(s *Settings, value node) error {
	list, ok := value.(*ast.SequenceNode)
	if !ok {
		return f.at(value, wantError{quoted(text(value)), "a list of workloads"}, "workloads")
	}
	for _, n := range list.Values {
		p, err := f.program(f.resolve(n))
		if err != nil {
			return err
		}
		s.Programs = append(s.Programs, p)
	}
	return nil
}

var errNoWorkload = errors.New(`want the name of a workload, or "workload: NAME" with its parameters`)

// program reads a workload by its name, or with its parameters.
func (f *file) program(n node) (p Program, err error) {
	name, err := f.nameOf(n)
	if err != nil {
		return p, err
	}
	if p.Workload, err = f.kinds.Workload(text(name)); err != nil {
		return p, f.at(name, err)
	}
	if name == n {
		return p, nil
	}
	err = f.pairs(n, func(key, value node) error {
		if value.Type() == ast.NullType {
			return nil
		}
		return programKeys[keyText(key)](f, &p, value)
	})
	if err == nil {
		err = f.expands(n, p)
	}
	return p, err
}

// nameOf returns where the name of a workload stands: the node itself, or one in
// it.
func (f *file) nameOf(n node) (name node, err error) {
	switch n.Type() {
	case ast.SequenceType, ast.NullType:
		return nil, f.at(n, errNoWorkload)
	case ast.MappingType, ast.MappingValueType:
	default:
		return n, nil
	}
	err = f.pairs(n, func(key, value node) error {
		if _, ok := programKeys[keyText(key)]; !ok {
			return f.at(key, unknown("field", keyText(key), f.fieldNames()))
		}
		if keyText(key) == "workload" {
			name = value
		}
		return nil
	})
	if err == nil && name == nil {
		err = f.at(n, errNoWorkload)
	}
	return name, err
}

// expands checks what a program varies, with the parameters that it has.
func (f *file) expands(n node, p Program) error {
	_, failure := p.expand()
	if failure == nil {
		return nil
	}
	return f.pairs(n, func(key, value node) error {
		if keyText(key) != "vary" {
			return nil
		}
		return f.pairs(value, func(_, values node) error { return f.at(values, failure) })
	})
}

func (f *file) label(p *Program, value node) error {
	p.Label = text(value)
	return nil
}

func (f *file) workers(p *Program, value node) (err error) {
	p.Workers, err = f.numberOfWorkers(value)
	return err
}

// defaultWorkers reads how many workers the workloads have that say nothing else.
func (f *file) defaultWorkers(s *Settings, value node) (err error) {
	s.Workers, err = f.numberOfWorkers(value)
	return err
}

func (f *file) numberOfWorkers(value node) (int, error) {
	n, ok := parseInt(text(value))
	if !ok || checkWorkers(n.(int)) != nil {
		return 0, f.at(value, wantError{quoted(text(value)), wantWorkers}, "workers")
	}
	return n.(int), nil
}

// params reads the parameters of a workload.
func (f *file) params(p *Program, value node) error {
	texts, nodes := make(map[string]string), make(map[string]node)
	err := f.pairs(value, func(key, v node) error {
		name := keyText(key)
		if v.Type() == ast.NullType {
			return f.at(key, fmt.Errorf("parameter %s of %s has no value", name, p.Workload.Name))
		}
		texts[name], nodes[name] = f.yaml(v), v
		return nil
	})
	if err != nil {
		return err
	}
	changed, err := p.with(texts)
	if err == nil {
		*p = changed
		return nil
	}
	for _, key := range sortedKeys(texts) { // which one is it?
		if _, err := p.with(map[string]string{key: texts[key]}); err != nil {
			return f.at(nodes[key], err)
		}
	}
	return f.at(value, err)
}

// vary reads what a workload varies, and over which values.
func (f *file) vary(p *Program, value node) error {
	p.Vary = make(map[string][]string)
	return f.pairs(value, func(key, v node) error {
		list, ok := v.(*ast.SequenceNode)
		if !ok {
			return f.at(v, fmt.Errorf("%s is to vary, but over what? want a list, such as [1ms, 2ms]", keyText(key)))
		}
		for _, one := range list.Values {
			p.Vary[keyText(key)] = append(p.Vary[keyText(key)], f.yaml(f.resolve(one)))
		}
		return nil
	})
}

// pairs calls each with the keys and values of a map.
func (f *file) pairs(n node, each func(key, value node) error) error {
	n = f.resolve(n)
	m, ok := n.(ast.MapNode)
	if !ok {
		return f.at(n, errors.New("want names with values"))
	}
	for iter := m.MapRange(); iter.Next(); {
		key, value := iter.Key(), f.resolve(iter.Value())
		var err error
		switch {
		case key.Type() != ast.MergeKeyType:
			err = each(key, value)
		case f.merged == mostMerged:
			err = f.at(key, errors.New("too many maps are merged into others; has one itself in it?"))
		default:
			f.merged++
			err = f.pairs(value, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resolve returns what a node stands for that has a name, or is one.
func (f *file) resolve(n node) node {
	switch v := n.(type) {
	case *ast.AnchorNode:
		return f.resolve(v.Value)
	case *ast.AliasNode:
		if named := f.anchors[v.Value.String()]; named != nil {
			return named
		}
	case *ast.TagNode:
		return f.resolve(v.Value)
	}
	return n
}

// text returns a scalar as it was written, and of anything else how it begins.
func text(n node) string {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	}
	return n.GetToken().Value
}

// yaml returns a value as text: a scalar as it was written, else as YAML.
func (f *file) yaml(n node) string {
	if _, ok := n.(ast.ScalarNode); ok {
		return text(n)
	}
	return n.String()
}

func keyText(n node) string {
	if k, ok := n.(*ast.MappingKeyNode); ok { // "? key"
		n = k.Value
	}
	return n.GetToken().Value
}

func (f *file) where(n node) string {
	p := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", f.name, p.Line, p.Column)
}

// at says where an error is, and which key it is about if the error does not.
func (f *file) at(n node, err error, key ...string) error {
	return place{where: f.where(n), name: slices.Concat(key, []string{""})[0]}.wrap(err)
}

// yamlError puts the place first, as compilers do.
func yamlError(name string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p := y.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", name, p.Line, p.Column, y.GetMessage())
}
