// Package executor runs tasks on an execution model that is chosen by name. The model is
// one value, and nothing else in the program changes:
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
// A [Task] is a named function; [Task.Submit] gives a [Future]. For many inputs there are
// [Map] and [Results], for futures [Wait], [AsCompleted], [All] and [Then], for tasks that
// hand values to each other [Queue]. [Go] runs a function that need not be a task, where
// memory is shared. The package imports the standard library only, and all its functions
// are safe for concurrent use. docs/executor.md is a guide for those who come from Python;
// package pystyle has the verbs of threading.Thread and multiprocessing.Pool.
//
// # Models
//
// [Backends] lists them, with a description of each:
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
// A program that needs something of its backend says so: Config.Require and
// Config.Prefer. Package backend is for those who write one.
//
// # Writing a task
//
// A task can run anywhere if it takes what it needs from its argument, returns what it
// makes, waits in [Blocking], calls [Checkpoint] about every 100 microseconds of
// computing, and ends soon after its context has ended. None of this is checked: a task
// that does not is good for some models only.
//
// # Worker processes
//
// The workers of processes are the program itself, started again. So [Main] comes first in
// main, before flags are parsed and files opened: in a worker it serves tasks and never
// returns. It is given every task that may be submitted to processes, whatever the
// arguments of the program, which a worker does not have.
//
// A worker has its own copies of package variables, in the state in which initialisation
// left them. What a task needs comes with its argument, and what it made goes into its
// result. Both are encoded on the way, and arrive exactly or are refused: they are data,
// without channels, functions or locks. Types that are in an any, an error or another
// interface are registered with [Register] before Main. A [Queue] may be among the data.
// Of the context, its end reaches the worker; its values and its deadline do not.
package executor
