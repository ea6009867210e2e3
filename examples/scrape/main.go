package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

var titles = regexp.MustCompile(`(?is)<title>.*?</title>`)
var client = http.Client{Timeout: 10 * time.Second}
var fetch = executor.NewTask("fetch", func(ctx context.Context, url string) (title string, err error) {
	executor.Blocking(ctx, func() {
		var res *http.Response
		if res, err = client.Get(url); err == nil {
			defer res.Body.Close()
			page, e := io.ReadAll(res.Body)
			title, err = string(titles.Find(page)), e
		}
	})
	return title, err
})

func main() {
	executor.Main(fetch)
	ex, err := executor.FromEnv(context.Background(), executor.Config{Waits: 0.9})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	for r := range executor.Results(context.Background(), ex, fetch, slices.Values(os.Args[1:]), executor.MapOptions{Unordered: true}) {
		fmt.Println(r.In, r.Out, r.Err)
	}
}
