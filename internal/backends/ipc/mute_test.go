package ipc_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A mute cannot be encoded, or decoded, and the error that says so ends the goroutine
// of whoever asks what it says, or never says it.
type mute struct{ when, how string }

func (m mute) MarshalText() ([]byte, error) {
	switch m.when {
	case "argument":
		return nil, untold(m.how)
	case "value":
		_ = untold(m.how).Error()
	}
	return []byte(m.when + " " + m.how), nil
}

func (m *mute) UnmarshalText(b []byte) error {
	m.when, m.how, _ = strings.Cut(string(b), " ")
	return untold(m.how)
}

// asked gets a value when an untold that hangs is asked. It goes on when it is told.
var asked, told = make(chan struct{}), make(chan struct{})

type untold string

func (u untold) Error() string {
	if u == "hangs" {
		asked <- struct{}{}
		<-told
	}
	runtime.Goexit()
	return ""
}

var (
	takesMute = core.NewTask("takes mute", func(context.Context, mute) (int, error) { return 0, nil })
	givesMute = core.NewTask("gives mute", func(_ context.Context, how string) (mute, error) { return mute{"result", how}, nil })
	getsMute  = core.NewTask("gets mute", func(ctx context.Context, q *core.Queue[mute]) (int, error) {
		_, err := q.Get(ctx)
		return 0, err
	})
)

// What the error of an encoding does when it is asked what it says, ends the task
// with ErrEncode, or can be cancelled.
func TestEncodingsWhoseErrorsDoNotTell(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2, CancelGrace: time.Millisecond})
	submit := map[string]func(how string) core.AnyFuture{
		"argument": func(how string) core.AnyFuture { return takesMute.Submit(ctx, ex, mute{"argument", how}) },
		"result":   func(how string) core.AnyFuture { return givesMute.Submit(ctx, ex, how) },
		"value": func(how string) core.AnyFuture {
			q := core.NewQueue[mute](1)
			t.Cleanup(func() { _ = q.Close(context.Background()) })
			if err := q.Put(ctx, mute{"value", how}); err != nil {
				t.Fatal(err)
			}
			return getsMute.Submit(ctx, ex, q)
		},
	}
	for when, submit := range submit {
		t.Run(when, func(t *testing.T) {
			f := submit("ends")
			if err := waited(ctx, f); !errors.Is(err, fault.ErrEncode) {
				t.Errorf("an error whose text ends the goroutine: the task fails with %v; want ErrEncode", err)
			}
			f = submit("hangs")
			defer func() { told <- struct{}{} }()
			<-asked
			f.Cancel()
			if err := waited(ctx, f); !errors.Is(err, fault.ErrCancelled) {
				t.Errorf("an error whose text is never said: the cancelled task fails with %v; want ErrCancelled", err)
			}
		})
	}
}

// waited waits for a future and returns its error, or that of ctx.
func waited(ctx context.Context, f core.AnyFuture) error {
	select {
	case <-f.Done():
		return f.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
