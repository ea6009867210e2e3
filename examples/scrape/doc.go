// Command scrape prints the titles of web pages in the order in which they arrive. Its tasks
// wait for nine tenths of their time, so ten of them can share a processor: see Config.Waits.
// A variable of the environment names the model:
//
//	HARNESS_BACKEND=eventloop go run ./examples/scrape https://go.dev https://pkg.go.dev
package main
