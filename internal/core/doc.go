// Package core is the machinery behind package executor: a submitted call from its
// submission to its completion, the detection of executors whose workers all wait for
// each other, the observers, and the clock. Backends run its calls; programs see what
// package executor shows of it.
//
// To add something that every task has, add it to [Call]; what backends do differently
// belongs to them.
package core
