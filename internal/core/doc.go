// Package core is the implementation of package executor: the life of a call from its
// submission to its completion, the detection of deadlocks among the workers of an
// executor, the observers, and the clock. Backends run its calls. Programs use it
// through package executor only.
//
// To add something that every task has, add it to [Call]. What differs between backends
// belongs into the backends.
package core
