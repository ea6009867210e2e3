// Command pipeline has a task hand squares to the program through a queue that holds
// three of them: the producer waits when it is full, the consumer when it is empty. The
// model is one variable of the environment:
//
//	HARNESS_BACKEND=processes go run ./examples/pipeline
package main
