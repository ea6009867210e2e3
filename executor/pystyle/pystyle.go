// Package pystyle has types that behave like Python's threading.Thread and
// multiprocessing.Pool, for those who know these or teach them: [Thread] and [Pool]. They
// run tasks of package executor on its backends. docs/executor.md maps Python's names to
// those of both packages.
package pystyle
