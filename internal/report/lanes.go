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

// lanesSection shows what each worker did.
func lanesSection(r *Report) document.Section {
	s := document.Section{ID: "lanes", Title: "Worker lanes"}
	for _, w := range r.Run.Workloads {
		if c := workerLanes(r, w.Label); c != nil {
			s.Blocks = append(s.Blocks, document.Chart{Chart: c})
		}
	}
	return s
}

// workerLanes shows what each worker did, the models one below the other on
// the same axis of time; nil if there are no lanes of the workload.
func workerLanes(r *Report, workload string) *chart.Chart {
	var shown []results.Lanes
	var backends, parts []string
	longest := int64(0)
	for _, row := range r.Rows {
		i := slices.IndexFunc(r.lanes, func(l results.Lanes) bool { return l.Cell == row.ID })
		if row.Workload != workload || i < 0 {
			continue
		}
		l := r.lanes[i]
		shown, backends = append(shown, l), append(backends, row.Backend)
		parts = append(parts, fmt.Sprintf("%s: %d tasks on %d workers in %s", row.Backend, len(l.Tasks), l.Workers, duration(float64(l.WallNS))))
		longest = max(longest, l.WallNS)
	}
	if longest == 0 {
		return nil
	}
	const left, laneHeight = 130.0, 11.0
	c := &chart.Chart{
		Name: "lanes-" + workload, Title: "Worker lanes of " + workload, Head: "What each worker did: " + workload,
		Note: "One traced trial each, on the same axis. A lane is a worker, a bar is a task; neighbouring tasks differ in shade.",
		Desc: strings.Join(parts, "; ") + ".",
	}
	x := chart.Linear(chart.Range{High: float64(longest)}, left, chart.Width-chart.Margin-60)
	y := chart.Top + 6
	for i, l := range shown {
		end := x.At(float64(l.WallNS))
		c.Text(chart.Margin, y+11, "", backends[i])
		top := y
		for w := range l.Workers {
			c.Box(chart.Box{X: left, Y: y + 1, W: end - left, H: laneHeight - 2, Class: "lane"})
			drawLane(c, l, w, x, chart.Box{Y: y + 1, H: laneHeight - 2, Class: "bar " + r.colour(backends[i])})
			y += laneHeight
		}
		c.Text(end+6, (top+y)/2+4, "small", duration(float64(l.WallNS)))
		y = max(y, top+14) + 8
	}
	c.Columns(x, chart.Times(float64(longest)), chart.Top, y)
	c.Bottom = y + 22
	return c
}

// drawLane draws the tasks of one worker in a lane. Tasks too short to be seen
// are drawn as one, so that a million of them make no more than a lane's width.
func drawLane(c *chart.Chart, l results.Lanes, worker int, x chart.Scale, lane chart.Box) {
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
		bar := lane
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
