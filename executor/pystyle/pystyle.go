// Package pystyle has the verbs of Python's threading.Thread and
// multiprocessing.Pool, with all that they promise, for those who know these or teach
// them: [Thread] and [Pool]. They run tasks of package executor on its backends.
// docs/executor.md maps Python's names to those here and there.
package pystyle
