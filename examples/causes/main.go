// Command causes has four programs, alpha to delta. For each of them some execution model is
// unsuitable. The report says what the cause is, and where:
//
//	go run ./examples/causes run --workloads alpha,beta,gamma,delta --backends gil,goroutines,processes --out causes-run
//
// Read causes-run/report.html before the code of the programs.
package main

import "github.com/f3f4c0de/harness/cli"

func main() { cli.Main(&alpha, &beta, &gamma, &delta) }
