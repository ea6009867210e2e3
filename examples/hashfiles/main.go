package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/f3f4c0de/harness/executor"
)

var sum = executor.NewTask("sum", func(_ context.Context, name string) ([32]byte, error) {
	b, err := os.ReadFile(name)
	return sha256.Sum256(b), err
})

func main() {
	executor.Main(sum)
	ex, err := executor.FromEnv(context.Background(), executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	for r := range executor.Results(context.Background(), ex, sum, slices.Values(os.Args[1:]), executor.MapOptions{}) {
		fmt.Printf("%x  %s  %v\n", r.Out, r.In, r.Err)
	}
}
