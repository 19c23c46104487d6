package group_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cloudtraceservice/cts/bench/peers/internal/group"
)

func TestAddReturnsWhenCommitted(t *testing.T) {
	var got []int
	c := group.New(func(v []int) error {
		got = append(got, v...)
		return nil
	})
	var adding sync.WaitGroup
	for i := range 1000 {
		adding.Go(func() {
			if err := c.Add(context.Background(), i); err != nil {
				t.Errorf("Add: %v", err)
			}
		})
	}
	adding.Wait()
	c.Close()
	slices.Sort(got)
	for i, v := range got {
		if v != i {
			t.Fatalf("value %d was committed at place %d", v, i)
		}
	}
	if len(got) != 1000 {
		t.Errorf("%d values were committed, want 1000", len(got))
	}
}

func TestWhatWaitsIsOneGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan int)
		c := group.New(func(v []int) error {
			sizes <- len(v)
			return nil
		})
		add := func() { _ = c.Add(context.Background(), 0) }
		go add()
		synctest.Wait() // the first is being committed
		for range 64 {
			go add()
		}
		synctest.Wait()
		for _, want := range []int{1, 64} {
			if n := <-sizes; n != want {
				t.Errorf("a group of %d, want %d", n, want)
			}
		}
		c.Close()
	})
}

func TestGroupFailsTogether(t *testing.T) {
	broken := errors.New("broken")
	c := group.New(func([]int) error { return broken })
	if err := c.Add(context.Background(), 1); !errors.Is(err, broken) {
		t.Errorf("Add: %v, want the error of commit", err)
	}
	c.Close()
	c.Close()
	if err := c.Add(context.Background(), 1); !errors.Is(err, group.ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

func TestAddHeedsContextBefore(t *testing.T) {
	c := group.New(func([]int) error { return nil })
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Add(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Add with a cancelled context: %v", err)
	}
}
