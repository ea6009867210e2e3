package calibrate

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
)

//go:embed subject.py
var subjectPy string

// role is the [child.Role] of a subject.
const role = "calibrate"

// EntryPoint runs this process as a subject and never returns, if it was started as one.
// A program calls it at the beginning of main.
func EntryPoint(ctx context.Context, backends []*core.Backend) {
	if child.Role() != role {
		return
	}
	signal.Ignore(os.Interrupt)
	in, out := child.Parent()
	err := serve(ctx, in, out, backends)
	if err != nil {
		_ = json.NewEncoder(out).Encode(reply{Error: err.Error()}) // if this fails, the exit code remains
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(ctx context.Context, in io.Reader, out io.Writer, backends []*core.Backend) error {
	dec := json.NewDecoder(in)
	var o order
	if err := dec.Decode(&o); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	var backend *core.Backend
	for _, b := range backends {
		if b.Name == o.Backend {
			backend = b
		}
	}
	if backend == nil || !backend.Shared {
		return fmt.Errorf("backend %q cannot be calibrated", o.Backend)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ex, err := backend.Open(ctx, core.Config{Workers: o.Threads + 1})
	if err != nil {
		return err
	}
	if o.WorkNS > 0 {
		perUnit, err := computeFor(ctx, ex, o)
		if err != nil {
			return err
		}
		return errors.Join(json.NewEncoder(out).Encode(reply{PerUnitNS: perUnit}), ex.Close())
	}
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return err
	}
	echo.Submit(ctx, ex, sock)
	for range o.Threads {
		hog.Submit(ctx, ex, 0)
	}
	if err := json.NewEncoder(out).Encode(reply{Addr: sock.LocalAddr().String()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in) // until the parent closes it
	return err                       // the process then ends with all tasks that still run
}

// stride is the number of steps between two checkpoints; it takes about 100 µs.
const stride = 50_000

// steps does the same computation as the function of that name in subject.py.
func steps(n int) (x uint32) {
	for range n {
		x = (x*1103515245 + 12345) & 0x7fffffff
	}
	return x
}

var (
	part = core.NewTask("calibrate.part", func(ctx context.Context, strides int) (x uint32, _ error) {
		for range strides {
			x += steps(stride)
			core.Checkpoint(ctx)
		}
		return x, nil
	})

	hog = core.NewTask("calibrate.hog", func(ctx context.Context, _ int) (x uint32, _ error) {
		for ctx.Err() == nil {
			x += steps(stride)
			core.Checkpoint(ctx)
		}
		return x, nil
	})

	// echo answers pings. CPython releases its lock in both calls, too.
	echo = core.NewTask("calibrate.echo", func(ctx context.Context, sock *net.UDPConn) (int, error) {
		buf := make([]byte, 64)
		for {
			var n int
			var from netip.AddrPort
			var err error
			core.Blocking(ctx, func() { n, from, err = sock.ReadFromUDPAddrPort(buf) })
			if err != nil {
				return 0, err
			}
			core.Blocking(ctx, func() { _, err = sock.WriteToUDPAddrPort(buf[:n], from) })
			if err != nil {
				return 0, err
			}
		}
	})
)

// computeFor does the work that takes one thread o.WorkNS, divided among the
// threads, and returns the nanoseconds per stride.
func computeFor(ctx context.Context, ex core.Executor, o order) (float64, error) {
	start := time.Now()
	n := 0
	for ; time.Since(start) < 20*time.Millisecond; n++ { // how fast is it?
		if _, err := part.Submit(ctx, ex, 1).Wait(ctx); err != nil {
			return 0, err
		}
	}
	total := int(float64(n) * float64(o.WorkNS) / float64(time.Since(start)))
	each := max(1, total/o.Threads)
	futures := make([]*core.Future[uint32], o.Threads)
	start = time.Now()
	for i := range futures {
		futures[i] = part.Submit(ctx, ex, each)
	}
	for _, f := range futures {
		if _, err := f.Wait(ctx); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start)) / float64(each*o.Threads), nil
}
