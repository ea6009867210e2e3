// Command causes has four programs, alpha to delta, each of which some execution
// model does not suit. What the cause is, and where, is for the report to say:
//
//	go run ./examples/causes run --workloads alpha,beta,gamma,delta --backends gil,goroutines,processes --out causes-run
//
// Read causes-run/report.html before the code of the programs.
package main

import "github.com/f3f4c0de/harness/cli"

func main() { cli.Main(&alpha, &beta, &gamma, &delta) }
