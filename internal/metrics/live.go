package metrics

import (
	"bytes"
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A Live keeps the metrics of a run while it goes on. They are brought up to
// date and delivered between trials only. It is used by one goroutine.
type Live struct {
	recorder *Recorder
	to       trace.Destination
	publish  func(text []byte)
	say      func(format string, args ...any)

	pushed  time.Time // the last delivery
	read    time.Time // the records were
	took    time.Duration
	refused bool // no more deliveries until the end
}

// pushTimeout bounds a delivery while the run goes on, which waits for it.
const pushTimeout = 2 * time.Second

// NewLive returns the metrics of a run that begins. They are sent to a
// destination, and given to publish as OpenMetrics, unless that is nil. What
// there is to say about deliveries, say says. The caller closes it.
func NewLive(ctx context.Context, run *results.Run, to trace.Destination, publish func(text []byte), say func(format string, args ...any)) (*Live, error) {
	m, err := New(ctx, run, to)
	if err != nil {
		return nil, err
	}
	return &Live{recorder: m, to: to, publish: publish, say: say, pushed: time.Now()}, nil
}

// Refresh reads the records of the run in dir, publishes and delivers what they
// say, if it is time to. It is called between trials, and takes a twentieth of
// the run's time at most, without deliveries, which take two seconds at most.
// What is wrong with the records is told when the report is made.
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

// unwanted reports whether a delivery failed because its receiver is one for
// spans alone, and nobody asked for metrics in particular.
func (l *Live) unwanted(err error) bool { return !l.to.Asked && Refused(err) }

// Send delivers the metrics of the run in dir, which is over. A receiver that is
// down does not make a run fail: its metrics can be sent later.
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

// Close ends the recording.
func (l *Live) Close() error { return l.recorder.Close() }
