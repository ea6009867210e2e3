package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestRemoteErrorFindsWhatItWrapped(t *testing.T) {
	mine := errors.New("mine")
	original := fmt.Errorf("outer: %w", errors.Join(fmt.Errorf("inner: %w", mine), io.EOF, context.DeadlineExceeded))
	b, err := json.Marshal(NewRemoteError(original))
	if err != nil {
		t.Fatal(err)
	}
	far := &RemoteError{}
	if err := json.Unmarshal(b, far); err != nil {
		t.Fatal(err)
	}
	if far.Error() != original.Error() {
		t.Errorf("Error() = %q; want %q", far.Error(), original.Error())
	}
	for _, target := range []error{mine, io.EOF, context.DeadlineExceeded} {
		if !errors.Is(far, target) {
			t.Errorf("errors.Is(far, %v) = false; want true", target)
		}
	}
	for _, target := range []error{errors.New("another"), fs.ErrNotExist, context.Canceled} {
		if errors.Is(far, target) {
			t.Errorf("errors.Is(far, %v) = true; want false", target)
		}
	}
	// It may cross once more.
	if again := NewRemoteError(fmt.Errorf("further: %w", far)); !errors.Is(again, mine) {
		t.Errorf("after a second process the error is %+v; want it to find %v", again, mine)
	}
	if (&RemoteError{}).Error() == "" {
		t.Error("an empty RemoteError has no text")
	}
}

// An error number counts as errors that it does not wrap.
func TestRemoteErrorCountsAsWhatItDid(t *testing.T) {
	_, err := os.Open("no such file")
	for _, e := range []error{err, NewRemoteError(err)} {
		for _, target := range []error{fs.ErrNotExist, syscall.ENOENT} {
			if !errors.Is(e, target) {
				t.Errorf("errors.Is(%T, %v) = false; want true", e, target)
			}
		}
		if errors.Is(e, fs.ErrExist) {
			t.Errorf("errors.Is(%T, %v) = true; want false", e, fs.ErrExist)
		}
	}
}
