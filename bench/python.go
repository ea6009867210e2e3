package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// peersPy answers requests, a line of JSON each, with a figure.
//
//go:embed peers.py
var peersPy []byte

// python returns an arm that asks peers.py for a figure. The interpreter is
// started anew for each, and set up before the measured part.
func python(name, peer string, args map[string]any, note string) arm {
	return arm{name: name, note: note, open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		if _, err := exec.LookPath("python3"); err != nil {
			return nil, nil, errAbsent{"python3"}
		}
		// A file, not standard input or -c: multiprocessing starts it again.
		dir, err := os.MkdirTemp("", "harness-bench-*")
		if err != nil {
			return nil, nil, err
		}
		file := dir + "/peers.py"
		if err := os.WriteFile(file, peersPy, 0o666); err != nil {
			return nil, nil, err
		}
		request, err := json.Marshal(args)
		if err != nil {
			return nil, nil, err
		}
		cmd := exec.CommandContext(ctx, "python3", file, peer, string(request))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, nil, err
		}
		out := bufio.NewReader(stdout)
		line := func(v any) error {
			b, err := out.ReadBytes('\n')
			if err == io.EOF {
				return fmt.Errorf("peers.py %s ended without an answer", peer)
			}
			if err != nil {
				return err
			}
			return json.Unmarshal(b, v)
		}
		var ready string
		if err := line(&ready); err != nil {
			return nil, nil, fmt.Errorf("%w; %w", err, cmd.Wait())
		}
		measure := func() (v float64, err error) {
			if _, err := io.WriteString(in, "go\n"); err != nil {
				return 0, err
			}
			err = line(&v)
			return v, err
		}
		end := func() error {
			_ = in.Close()
			err := cmd.Wait()
			_ = os.RemoveAll(dir)
			return err
		}
		return measure, end, nil
	}}
}
