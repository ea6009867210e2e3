package metrics

import (
	"bytes"
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A Live updates and delivers the metrics of a run that is under way, between
// trials only. It is not safe for concurrent use.
type Live struct {
	recorder *Recorder
	to       trace.Destination
	publish  func(text []byte)
	say      func(format string, args ...any)

	pushed  time.Time     // time of the last delivery
	read    time.Time     // when the records were last read
	took    time.Duration // how long the last update took
	refused bool          // a delivery failed: no more of them until the end of the run
}

// pushTimeout bounds a delivery between trials, since the run waits for it.
const pushTimeout = 2 * time.Second

// NewLive returns the metrics of a run that begins. They are sent to the
// destination to, and passed to publish as OpenMetrics unless publish is nil. say
// prints messages about deliveries. The caller must call Close.
func NewLive(ctx context.Context, run *results.Run, to trace.Destination, publish func(text []byte), say func(format string, args ...any)) (*Live, error) {
	m, err := New(ctx, run, to)
	if err != nil {
		return nil, err
	}
	return &Live{recorder: m, to: to, publish: publish, say: say, pushed: time.Now()}, nil
}

// Refresh reads the records of the run in dir, and publishes and delivers their
// metrics if it is time to. It is called between trials. Without deliveries it takes
// at most a twentieth of the run's time; a delivery takes at most two seconds. It
// ignores errors in the records: making the report returns them.
func (l *Live) Refresh(ctx context.Context, dir string) {
	began := time.Now()
	publish := l.publish != nil && began.Sub(l.read) >= 20*l.took
	push := l.to.OTLP != nil && !l.refused && began.Sub(l.pushed) >= l.to.Every
	if !publish && !push {
		return
	}
	data, err := results.Read(dir)
	if err != nil {
		return
	}
	l.recorder.Update(data, report.Build(data))
	if l.publish != nil {
		var b bytes.Buffer
		if l.recorder.WriteText(&b) == nil {
			l.publish(b.Bytes())
		}
	}
	l.read = time.Now()
	l.took = l.read.Sub(began)
	if !push {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	_, err = l.recorder.Push(ctx)
	l.pushed, l.refused = time.Now(), err != nil
	if err != nil && !l.unwanted(err) {
		l.say("Warning: metrics are not delivered: %v\nThis is tried again when the run is over.", err)
	}
}

// unwanted reports whether a delivery failed because the receiver takes spans only,
// and the user did not ask for metrics explicitly.
func (l *Live) unwanted(err error) bool { return !l.to.Asked && Refused(err) }

// Send delivers the metrics of the run in dir, which has ended. It returns no
// error: a receiver that is down does not make a run fail, since the metrics can be
// sent later. Failures are printed.
func (l *Live) Send(ctx context.Context, dir string) {
	if l.to.OTLP == nil && !l.to.Console {
		return
	}
	data, err := results.Read(dir)
	if err != nil {
		l.say("Warning: no metrics were sent: %v", err)
		return
	}
	l.recorder.Update(data, report.Build(data))
	if err := l.recorder.Print(ctx); err != nil {
		l.say("Warning: the metrics were not printed: %v", err)
	}
	if l.to.OTLP == nil {
		return
	}
	n, err := l.recorder.Push(ctx)
	switch {
	case err == nil:
		l.say("%d metric series sent to %s.", n, l.to.OTLP.URL)
	case l.unwanted(err):
		l.say("%s takes no metrics.", l.to.OTLP.URL)
	default:
		l.say("Warning: none of %d metric series was sent: %v\nSend them later with: harness metrics %s --otlp %s", n, err, dir, l.to.OTLP.URL)
	}
}

// Close closes the recorder.
func (l *Live) Close() error { return l.recorder.Close() }
