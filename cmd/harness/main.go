// Command harness shows which execution model helps a program, and why.
package main

import "github.com/f3f4c0de/harness/cli"

func main() { cli.Main() }
