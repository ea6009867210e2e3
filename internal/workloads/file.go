package workloads

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// File writes files to disk and reads them back.
var File = &harness.Workload{
	Name: "file",
	Doc: `I/O-bound: write files through to the disk and read them back

Each task writes a file, waits with fsync until the disk has it, reads it back
and returns its checksum. File I/O is a blocking system call in Go: it keeps
an OS thread, not a processor, so it overlaps even with GOMAXPROCS=1. How far
it speeds up is up to the disk and its file system.`,
	Params:  &fileParams{Files: 40, Size: 64 << 10},
	Tasks:   []executor.AnyTask{fileTask},
	Workers: always(8),
	Nominal: func(p any) time.Duration { return time.Duration(p.(*fileParams).Files) * 3 * time.Millisecond },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &fileSession{p: *env.Params.(*fileParams), dir: env.Dir}, nil
	},
}

type fileParams struct {
	Files int `yaml:"files" doc:"files, one task each"`
	Size  int `yaml:"size" doc:"bytes of a file"`
}

// Validate implements what Workload.Params asks for.
func (p *fileParams) Validate() error {
	if p.Files < 1 || p.Files > 1_000_000 || p.Size < 0 || p.Size > 1<<30 {
		return fmt.Errorf("files is %d and size is %d; want 1 to 1,000,000 and 0 to %d", p.Files, p.Size, 1<<30)
	}
	return nil
}

type fileIn struct {
	Path string `json:"path"`
	Seed int    `json:"seed"`
	Size int    `json:"size"`
}

var fileTask = executor.NewTask("file", func(ctx context.Context, in fileIn) (uint32, error) {
	buf, _ := fileBuffers.Get().(*[]byte)
	defer fileBuffers.Put(buf)
	*buf = appendFile((*buf)[:0], in.Seed, in.Size)
	var err error
	executor.Blocking(ctx, func() {
		if err = writeThrough(in.Path, *buf); err == nil {
			clear(*buf)
			err = readBack(in.Path, *buf)
		}
	})
	return crc32.ChecksumIEEE(*buf), err
})

// fileBuffers are used again: garbage is not what the workload is about.
var fileBuffers = sync.Pool{New: func() any { return new([]byte) }}

// appendFile appends what file number seed holds: its number, repeated.
func appendFile(b []byte, seed, size int) []byte {
	b = slices.Grow(b, size)
	unit := append(strconv.AppendInt(nil, int64(seed), 10), '\n')
	for size > 0 {
		n := min(size, len(unit))
		b = append(b, unit[:n]...)
		size -= n
	}
	return b
}

// writeThrough writes a new file and returns when the disk has it.
func writeThrough(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// readBack fills data with what the file holds.
func readBack(path string, data []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, data)
	return err
}

type fileSession struct {
	p    fileParams
	dir  string
	sums []uint32
}

func (s *fileSession) path(i int) string { return filepath.Join(s.dir, fmt.Sprintf("%06d", i)) }

func (s *fileSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	in := make([]fileIn, s.p.Files)
	for i := range in {
		in[i] = fileIn{Path: s.path(i), Seed: i, Size: s.p.Size}
	}
	s.sums, err = submitAll(ctx, ex, fileTask, in)
	return err
}

// Check reads every file once more, byte by byte.
func (s *fileSession) Check() (harness.Outcome, error) {
	if len(s.sums) != s.p.Files {
		return harness.Outcome{}, fmt.Errorf("%d files came back; want %d", len(s.sums), s.p.Files)
	}
	for i, sum := range s.sums {
		got, err := os.ReadFile(s.path(i))
		if err != nil {
			return harness.Outcome{}, err
		}
		want := appendFile(nil, i, s.p.Size)
		if !bytes.Equal(got, want) {
			return harness.Outcome{}, fmt.Errorf("file %d does not hold what was written", i)
		}
		if w := crc32.ChecksumIEEE(want); sum != w {
			return harness.Outcome{}, fmt.Errorf("file %d came back with the checksum %08x; want %08x", i, sum, w)
		}
	}
	return harness.Outcome{Digest: harness.Digest(s.sums), Tasks: len(s.sums)}, nil
}

func (s *fileSession) Close() error { return nil }
