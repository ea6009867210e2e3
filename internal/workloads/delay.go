package workloads

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// A wait that a workload needs is real I/O: a question to a server in another
// process that answers after the time it was asked to take. A sleep would not
// do. Below a millisecond it lasts a whole one when the process is otherwise
// idle, which is just what the sequential baseline is, and so every model that
// overlaps sleeps would seem to be faster than it can be.

// serveDelays answers every 8 bytes, a duration in nanoseconds, after that
// duration with 8 bytes: the stamp of the moment at which it answered.
func serveDelays(ctx context.Context, _ any, ready func(addr string)) error {
	return serveTCP(ctx, ready, func(c net.Conn) {
		var b [8]byte
		for {
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return
			}
			if err := sleepExactly(time.Duration(binary.LittleEndian.Uint64(b[:]))); err != nil {
				fmt.Fprintln(os.Stderr, "delay server:", err)
				return
			}
			binary.LittleEndian.PutUint64(b[:], uint64(harness.Now()))
			if _, err := c.Write(b[:]); err != nil {
				return
			}
		}
	})
}

// serveTCP serves connections on a loopback port until ctx ends.
func serveTCP(ctx context.Context, ready func(addr string), serve func(net.Conn)) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	ready(l.Addr().String())
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			serve(c)
		})
	}
}

// maxDelay bounds a wait: longer ones are a mistake in the parameters.
const maxDelay = time.Minute

// delays are the open connections to delay servers of this process.
var delays = delayClient{free: make(map[string][]net.Conn)}

// A delayClient keeps connections to delay servers for the tasks to come.
type delayClient struct {
	mu   sync.Mutex
	free map[string][]net.Conn // by address
}

// wait asks the server at addr to answer after d and waits for the answer,
// for that and no longer than ctx lasts. To the executor the task is blocked
// meanwhile.
func (dc *delayClient) wait(ctx context.Context, addr string, d time.Duration) error {
	var err error
	executor.Blocking(ctx, func() { err = dc.exchange(ctx, addr, d) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("waiting %v at the delay server: %w", d, err)
	}
	return nil
}

func (dc *delayClient) exchange(ctx context.Context, addr string, d time.Duration) error {
	if d < 0 || d > maxDelay {
		return fmt.Errorf("want 0 to %v", maxDelay)
	}
	c, err := dc.get(ctx, addr)
	if err != nil {
		return err
	}
	// A server that does not answer must not hold the task for ever.
	if err := c.SetDeadline(time.Now().Add(d + 10*time.Second)); err != nil {
		return errors.Join(err, c.Close())
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(d))
	asked := harness.Now()
	_, err = c.Write(b[:])
	if err == nil {
		_, err = io.ReadFull(c, b[:])
	}
	if !stop() || err != nil {
		c.Close()
		return err
	}
	core.MarkReady(ctx, asked, harness.Stamp(binary.LittleEndian.Uint64(b[:])))
	dc.mu.Lock()
	dc.free[addr] = append(dc.free[addr], c)
	dc.mu.Unlock()
	return nil
}

func (dc *delayClient) get(ctx context.Context, addr string) (net.Conn, error) {
	dc.mu.Lock()
	if free := dc.free[addr]; len(free) > 0 {
		c := free[len(free)-1]
		dc.free[addr] = free[:len(free)-1]
		dc.mu.Unlock()
		return c, nil
	}
	dc.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// close closes the connections to addr.
func (dc *delayClient) close(addr string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	var errs []error
	for _, c := range dc.free[addr] {
		errs = append(errs, c.Close())
	}
	delete(dc.free, addr)
	return errors.Join(errs...)
}

// A delayIn asks for one wait at the delay server at Addr.
type delayIn struct {
	Addr string        `json:"addr"`
	Wait time.Duration `json:"wait_ns"`
}

// delayTask waits; workloads warm up with it, to open connections.
var delayTask = executor.NewTask("workloads.delay", func(ctx context.Context, in delayIn) (struct{}, error) {
	return struct{}{}, delays.wait(ctx, in.Addr, in.Wait)
})

// warmDelays has every worker open its connection to the delay server: as many
// waits as there are workers, long enough for each to get one.
func warmDelays(ctx context.Context, ex *executor.Executor, addr string, workers int) error {
	return warm(ctx, ex, delayTask, workers, delayIn{addr, 2 * time.Millisecond})
}
