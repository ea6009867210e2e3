package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

// A server is the process of a workload's Serve.
type server struct {
	proc *child.Process
	addr string
	name string
}

// serverTimeout bounds the start of a server.
const serverTimeout = 30 * time.Second

// startServer starts the workload's server and waits until it listens.
func startServer(ctx context.Context, workload string, params results.Params) (*server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, serverTimeout, fmt.Errorf("it was not ready within %v", serverTimeout))
	defer cancel()
	// The server is no part of what is compared: it gets all processors.
	p, err := child.Command{Role: ServerRole, Env: []string{"GOMAXPROCS="}, Stderr: os.Stderr}.Start()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	var reply serverReply
	err = json.NewEncoder(p.In).Encode(serverOrder{workload, params})
	if err == nil {
		err = json.NewDecoder(p.Out).Decode(&reply)
	}
	if err == nil && reply.Error == "" {
		return &server{proc: p, addr: reply.Addr, name: workload}, nil
	}
	exit := p.End(EndTimeout)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case reply.Error != "":
		err = errors.New(reply.Error)
	default:
		err = fmt.Errorf("it ended with %s\n%s", exit.Cause, exit.Stderr)
	}
	return nil, fmt.Errorf("starting the server of workload %s: %w", workload, err)
}

// end ends the server. An error tells that it had ended before, or did not end
// in good order.
func (s *server) end() error {
	select {
	case <-s.proc.Done():
		exit := s.proc.Wait()
		return fmt.Errorf("the server of workload %s ended during the trial with %s\n%s", s.name, exit.Cause, exit.Stderr)
	default:
	}
	if exit := s.proc.End(EndTimeout); exit.Code != 0 {
		return fmt.Errorf("the server of workload %s ended with %s\n%s", s.name, exit.Cause, exit.Stderr)
	}
	return nil
}

// serveServer is the process of a server.
func serveServer(ctx context.Context, kinds spec.Kinds) {
	signal.Ignore(os.Interrupt)
	in, out := child.Parent()
	dec := json.NewDecoder(in)
	var order serverOrder
	if err := dec.Decode(&order); err != nil {
		fmt.Fprintln(os.Stderr, "server: reading the order:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { // the process does not outlive it
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	if err := serve(ctx, order, kinds, json.NewEncoder(out)); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(ctx context.Context, order serverOrder, kinds spec.Kinds, out *json.Encoder) error {
	w, err := kinds.Workload(order.Workload)
	if err != nil {
		return errors.Join(err, out.Encode(serverReply{Error: err.Error()}))
	}
	params, err := spec.DecodeParams(w, order.Params)
	if err != nil {
		return errors.Join(err, out.Encode(serverReply{Error: err.Error()}))
	}
	var sendErr error
	ready := false
	err = w.Serve(ctx, params, func(addr string) { ready, sendErr = true, out.Encode(serverReply{Addr: addr}) })
	if err != nil && !ready {
		sendErr = out.Encode(serverReply{Error: err.Error()})
	}
	return errors.Join(err, sendErr)
}
