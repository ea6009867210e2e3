// Command scrape prints the titles of the pages that it is given, as they come. A task
// that waits for nine tenths of its time leaves its processor to nine others: see
// Config.Waits. The model is one variable of the environment:
//
//	HARNESS_BACKEND=eventloop go run ./examples/scrape https://go.dev https://pkg.go.dev
package main
