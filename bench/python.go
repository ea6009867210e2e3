package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// peersPy is a Python program that answers each line of its input with a figure in JSON.
//
//go:embed peers.py
var peersPy []byte

// python returns an arm that asks peers.py for a figure. The interpreter is started for each
// figure, and set up before the measured part.
func python(name, peer string, args map[string]any, note string) arm {
	return arm{name: name, note: note, open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		if _, err := exec.LookPath("python3"); err != nil {
			return nil, nil, errAbsent{"python3"}
		}
		// multiprocessing starts the program again, so it must be a file.
		dir, err := os.MkdirTemp("", "harness-bench-*")
		if err != nil {
			return nil, nil, err
		}
		p, err := startPeer(ctx, dir, peer, args)
		if err != nil {
			return nil, nil, errors.Join(err, os.RemoveAll(dir))
		}
		return p.measure, func() error { return errors.Join(p.end(), os.RemoveAll(dir)) }, nil
	}}
}

// A peer is a Python process that runs peers.py.
type peer struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// startPeer writes peers.py to a folder, starts it, and waits until it is ready.
func startPeer(ctx context.Context, dir, name string, args map[string]any) (*peer, error) {
	file := filepath.Join(dir, "peers.py")
	if err := os.WriteFile(file, peersPy, 0o666); err != nil {
		return nil, err
	}
	request, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	p := &peer{name: name, cmd: exec.CommandContext(ctx, "python3", file, name, string(request))}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var ready string
	if err := p.read(&ready); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// read reads an answer, which is a line of JSON.
func (p *peer) read(v any) error {
	b, err := p.out.ReadBytes('\n')
	if err == io.EOF {
		return fmt.Errorf("peers.py %s ended without an answer", p.name)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// measure asks for a figure and waits for it.
func (p *peer) measure() (v float64, err error) {
	if _, err := io.WriteString(p.in, "go\n"); err != nil {
		return 0, err
	}
	err = p.read(&v)
	return v, err
}

// end ends the process.
func (p *peer) end() error {
	_ = p.in.Close()
	return p.cmd.Wait()
}
