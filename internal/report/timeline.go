package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// timelineSection shows the tasks of each worker over time.
func timelineSection(r *Report) document.Section {
	s := document.Section{ID: "lanes", Title: "Task timeline"}
	for _, w := range r.Run.Workloads {
		if c := taskTimeline(r, w.Label); c != nil {
			s.Blocks = append(s.Blocks, document.Chart{Chart: c})
		}
	}
	return s
}

// taskTimeline shows the tasks of a workload over time, one track for each worker.
// The models are one below the other on the same axis. It returns nil if the
// workload was not traced.
func taskTimeline(r *Report, workload string) *chart.Chart {
	var shown []results.Timeline
	var backends, parts []string
	longest := int64(0)
	for _, row := range r.Rows {
		i := slices.IndexFunc(r.timelines, func(l results.Timeline) bool { return l.Cell == row.ID })
		if row.Workload != workload || i < 0 {
			continue
		}
		l := r.timelines[i]
		shown, backends = append(shown, l), append(backends, row.Backend)
		parts = append(parts, fmt.Sprintf("%s: %d tasks on %d workers in %s", row.Backend, len(l.Tasks), l.Workers, duration(float64(l.WallNS))))
		longest = max(longest, l.WallNS)
	}
	if longest == 0 {
		return nil
	}
	const left, trackHeight = 130.0, 11.0
	c := &chart.Chart{
		Name: "lanes-" + workload, Title: "Task timeline of " + workload, Head: "What each worker did: " + workload,
		Note: "One traced trial each, on the same axis. A track is a worker, a bar is a task; neighbouring tasks differ in shade.",
		Desc: strings.Join(parts, "; ") + ".",
	}
	x := chart.Linear(chart.Range{High: float64(longest)}, left, chart.Width-chart.Margin-60)
	y := chart.Top + 6
	for i, l := range shown {
		end := x.At(float64(l.WallNS))
		c.Text(chart.Margin, y+11, "", backends[i])
		top := y
		for w := range l.Workers {
			c.Box(chart.Box{X: left, Y: y + 1, W: end - left, H: trackHeight - 2, Class: "track"})
			drawTrack(c, l, w, x, chart.Box{Y: y + 1, H: trackHeight - 2, Class: "bar " + r.colour(backends[i])})
			y += trackHeight
		}
		c.Text(end+6, (top+y)/2+4, "small", duration(float64(l.WallNS)))
		y = max(y, top+14) + 8
	}
	c.Columns(x, chart.Times(float64(longest)), chart.Top, y)
	c.Bottom = y + 22
	return c
}

// drawTrack draws the tasks of one worker into its track. Neighbouring tasks that
// are too short to be seen are drawn as one bar, so that a million tasks take no
// more marks than the track has pixels.
func drawTrack(c *chart.Chart, l results.Timeline, worker int, x chart.Scale, track chart.Box) {
	var tasks []results.TaskRecord
	for _, t := range l.Tasks {
		if t.Worker == worker {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b results.TaskRecord) int { return cmp.Compare(a.StartedNS, b.StartedNS) })
	const least = 0.6 // of a pixel
	width := func(from, to int64) float64 { return x.At(float64(to)) - x.At(float64(from)) }
	for i, n := 0, 0; i < len(tasks); n++ {
		from, to, j := tasks[i].StartedNS, tasks[i].EndedNS, i+1
		for j < len(tasks) && width(from, tasks[j].EndedNS) < least {
			to = max(to, tasks[j].EndedNS)
			j++
		}
		bar := track
		bar.X, bar.W = x.At(float64(from)), max(.3, width(from, to))
		bar.Title = fmt.Sprintf("%s: %s, started at %s", tasks[i].Task, duration(float64(to-from)), duration(float64(from)))
		if j > i+1 {
			bar.Title = fmt.Sprintf("%d tasks", j-i)
		}
		if n%2 == 1 {
			bar.Class += " odd"
		}
		c.Box(bar)
		i = j
	}
}
