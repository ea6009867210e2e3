// Command pipeline runs a task that sends squares to the program through a queue with room for
// three of them: the producer waits while it is full, the consumer while it is empty. A
// variable of the environment names the model:
//
//	HARNESS_BACKEND=processes go run ./examples/pipeline
package main
