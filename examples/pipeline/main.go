package main

import (
	"context"
	"fmt"
	"log"

	"github.com/f3f4c0de/harness/executor"
)

var produce = executor.NewTask("produce", func(ctx context.Context, q *executor.Queue[int]) (n int, err error) {
	defer func() { _ = q.Close(ctx) }()
	for ; n < 10 && err == nil; n++ {
		err = q.Put(ctx, n*n)
	}
	return n, err
})

func main() {
	executor.Main(produce)
	ex, err := executor.FromEnv(context.Background(), executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	q := executor.NewQueue[int](3)
	produce.Submit(context.Background(), ex, q)
	for v, err := range q.All(context.Background()) {
		fmt.Println(v, err)
	}
}
