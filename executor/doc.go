// Package executor runs tasks on an execution model that is chosen by name. To change the
// model, a program changes that name and nothing else:
//
//	var square = executor.NewTask("square", func(_ context.Context, n int) (int, error) {
//		return n * n, nil
//	})
//
//	func main() {
//		executor.Main(square)
//		ctx := context.Background()
//		ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 4})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer ex.Close()
//		fmt.Println(square.Submit(ctx, ex, 12).Wait(ctx))
//		fmt.Println(executor.Map(ctx, ex, square, []int{1, 2, 3}))
//	}
//
// A [Task] is a named function; [Task.Submit] returns a [Future]. [Map] and [Results] run
// a task on many inputs. [Wait], [AsCompleted], [All] and [Then] work on futures. Tasks
// pass values to each other through a [Queue]. Where memory is shared, [Go] runs a
// function that is not a task. The package imports the standard library only, and all
// its functions are safe for concurrent use. docs/executor.md is a guide for users of
// Python; package pystyle has the methods of threading.Thread and multiprocessing.Pool.
//
// # Models
//
// [Backends] returns them, with a description of each:
//
//   - sequential: one task after the other, in the order of submission
//   - eventloop: a task runs until it waits in [Blocking], as in asyncio
//   - gil: an emulation of CPython's lock; see also [Checkpoint] and [NoGIL]
//   - gomaxprocs1: goroutines on one processor
//   - goroutines: long-lived goroutines on all processors
//   - spawn: a new goroutine for each task
//   - threads: each worker has an OS thread for itself
//   - processes: each worker is a process with one processor
//
// A program states what it needs of its backend by Config.Require and Config.Prefer.
// Package backend is for those who write a backend.
//
// # Writing a task
//
// A task can run on every model if it takes what it needs from its argument, returns what
// it makes, waits in [Blocking], calls [Checkpoint] about every 100 microseconds of
// computing, and ends soon after its context has ended. None of this is checked; a task
// that does otherwise works well on some models only.
//
// # Worker processes
//
// The workers of the backend processes are the program itself, started again. So main
// calls [Main] first, before it parses flags or opens files: in a worker Main serves tasks
// and never returns. It must be given every task that may be submitted to worker processes.
// A worker does not have the program's command-line arguments, so the list must not depend
// on them.
//
// A worker has its own copies of package variables, in the state in which initialisation
// left them. So a task gets its data from its argument and returns its data in its result.
// Both are encoded. They arrive exactly or are refused; channels, functions and locks cannot
// be encoded. Types that are in an any, an error or another interface are registered with
// [Register] before Main. The data may contain a [Queue]. A worker learns when the context
// of a task ends, but does not have its values and its deadline.
package executor
