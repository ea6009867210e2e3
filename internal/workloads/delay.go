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

// Workloads wait by real I/O: they send a request to a server in another process, which
// answers after the time that the request names. A sleep would be wrong: in an otherwise
// idle process, a sleep shorter than a millisecond lasts a whole one. The sequential
// baseline is such a process, so every model that overlaps sleeps would seem faster than it
// can be.

// serveDelays reads requests of 8 bytes, a duration in nanoseconds. After that duration it
// answers with 8 bytes: the time stamp at which it answered.
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

// maxDelay bounds a wait. A longer one is a mistake in the parameters.
const maxDelay = time.Minute

// delays are the open connections to delay servers of this process.
var delays = delayClient{free: make(map[string][]net.Conn)}

// A delayClient keeps connections to delay servers for later tasks.
type delayClient struct {
	mu   sync.Mutex
	free map[string][]net.Conn // by address
}

// wait asks the server at addr to answer after d and waits for the answer, or until ctx
// ends. For the executor, the task is blocked in the meantime.
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
	// If the server does not answer, the task must still end.
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

// A delayIn is a wait by the delay server at Addr.
type delayIn struct {
	Addr string        `json:"addr"`
	Wait time.Duration `json:"wait_ns"`
}

// delayTask waits. Workloads warm up with it, so that their connections are open.
var delayTask = executor.NewTask("workloads.delay", func(ctx context.Context, in delayIn) (struct{}, error) {
	return struct{}{}, delays.wait(ctx, in.Addr, in.Wait)
})

// warmDelays makes every worker open its connection to the delay server, by as many waits
// as there are workers, each long enough that every worker gets one.
func warmDelays(ctx context.Context, ex *executor.Executor, addr string, workers int) error {
	return warm(ctx, ex, delayTask, workers, delayIn{addr, 2 * time.Millisecond})
}
