package obstest

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
)

func readRules() []rule {
	return []rule{
		newRule("Absent", "Get, GetRange and Head of an absent object are ErrNotExist, also below, above and beside one that is there",
			"callers decide by it whether to deliver", absent),
		newRule("Ranges", "GetRange gives the part of the range that lies in the content, and describes the whole object",
			"readers of trace files seek", ranges),
		newRule("ReaderWhileReplaced", "an open reader goes on with its version or fails while the object is replaced or deleted",
			"a mixture of two files would verify as neither", readerWhileReplaced),
		newRule("SeveralReaders", "several readers of one object do not disturb each other, and one may be closed early",
			"verification and downloads run side by side", severalReaders),
	}
}

func absent(c *check) {
	c.wantAbsent("none")
	c.put("d/a", "", nil)
	for _, key := range []string{"d", "d/a/b", "d/aa", "d/b", "a"} {
		_, err := c.Head(c.ctx(), key)
		c.wantError("Head of "+key, "head", err, obs.ErrNotExist)
		_, _, err = c.tryGet(key)
		c.wantError("Get of "+key, "get", err, obs.ErrNotExist)
		_, _, err = readAll(c.GetRange(c.ctx(), key, 0, 1))
		c.wantError("GetRange of "+key, "get", err, obs.ErrNotExist)
	}
}

func ranges(c *check) {
	const content = "0123456789"
	c.put("k", content, &obs.PutOptions{Metadata: map[string]string{"k": "v"}})
	tests := []struct {
		offset, length int64
		want           string
	}{
		{0, 10, content},
		{0, -1, content},
		{0, 1, "0"},
		{9, 1, "9"},
		{3, 4, "3456"},
		{3, -1, "3456789"},
		{3, math.MinInt64, "3456789"},
		{0, 0, ""},
		{5, 0, ""},
		{9, 5, "9"},
		{0, 11, content},
		{10, 1, ""},
		{10, -1, ""},
		{10, 0, ""},
		{11, 1, ""},
		{1 << 40, -1, ""},
		{3, math.MaxInt64, "3456789"},
		{math.MaxInt64, math.MaxInt64, ""},
	}
	for _, test := range tests {
		got, o, err := readAll(c.GetRange(c.ctx(), "k", test.offset, test.length))
		if err != nil || got != test.want {
			c.broken("GetRange(%d, %d) = %q, %v; want %q", test.offset, test.length, got, err, test.want)
		}
		if err == nil && (o.Size != 10 || o.Key != "k" || o.Metadata["k"] != "v") {
			c.broken("GetRange(%d, %d) describes %+v", test.offset, test.length, o)
		}
	}
	_, _, err := readAll(c.GetRange(c.ctx(), "k", -1, 1))
	c.wantError("GetRange from -1", "get", err, obs.ErrInvalid)
	c.put("empty", "", nil)
	if got, _, err := readAll(c.GetRange(c.ctx(), "empty", 0, 1)); err != nil || got != "" {
		c.broken("GetRange of an empty object = %q, %v", got, err)
	}
}

func readerWhileReplaced(c *check) {
	oldContent, newContent := strings.Repeat("o", 1<<20), strings.Repeat("n", 1<<20)
	changes := map[string]func() error{
		"replaced": func() error {
			_, err := c.Put(c.ctx(), "k", strings.NewReader(newContent), nil)
			return err
		},
		"deleted": func() error { return c.Client.Delete(c.ctx(), "k") },
	}
	for what, change := range changes {
		c.put("k", oldContent, nil)
		r, _, err := c.Get(c.ctx(), "k")
		if err != nil {
			c.stop("Get: %v", err)
		}
		start := make([]byte, 1000)
		if _, err := io.ReadFull(r, start); err != nil {
			c.stop("Read: %v", err)
		}
		if err := change(); err != nil {
			c.stop("an object that is being read could not be %s: %v", what, err)
		}
		rest, err := io.ReadAll(r)
		if got := string(start) + string(rest); err == nil && got != oldContent {
			c.broken("%s while being read: got %d bytes, %d of them old", what, len(got), strings.Count(got, "o"))
		}
		if err := r.Close(); err != nil {
			c.broken("Close: %v", err)
		}
	}
}

func severalReaders(c *check) {
	content := strings.Repeat("0123456789", 10_000)
	c.put("k", content, nil)
	var readers []io.ReadCloser
	for range 5 {
		r, _, err := c.Get(c.ctx(), "k")
		if err != nil {
			c.stop("Get: %v", err)
		}
		readers = append(readers, r)
	}
	if err := readers[0].Close(); err != nil {
		c.broken("Close before the end: %v", err)
	}
	for i, r := range readers[1:] {
		got, err := io.ReadAll(r)
		if err != nil || string(got) != content {
			c.broken("reader %d: %d bytes, %v", i+1, len(got), err)
		}
		if err := r.Close(); err != nil {
			c.broken("Close: %v", err)
		}
	}
}

func listRules() []rule {
	return []rule{
		newRule("ListOrder", "List yields all keys in byte order, as if slashes were letters like others",
			"chains are read back in the order of their names", listOrder),
		newRule("ListPrefix", "List yields exactly the keys that begin with the prefix, which is any string",
			"a prefix selects a tracker, a day or an hour", listPrefix),
		newRule("ListAfter", "ListOptions.After begins right after a key, whether that key is there or not",
			"a reader goes on where it was", listAfter),
		newRule("ListDescribes", "the listed Key, Size, ModTime and ETag are those of Head",
			"readers decide by them what to fetch", listDescribes),
		newRule("ListStops", "a loop over List may be left at any object, and the iterator used again",
			"finding the newest or first object needs one", listStops),
		newRule("ListMany", "List yields 1100 objects, each once",
			"stores list in pages of 1000", listMany),
		newRule("ListWhileChanging", "objects may be put and deleted inside the loop; those that stay are yielded once",
			"retention deletes what it lists", listWhileChanging),
	}
}

// someKeys is in byte order, which puts '-' and '.' before and '0' after '/'.
var someKeys = []string{
	"Q", "a", "b!", "b-c/x", "b.c", "b/", "b/a/b/c", "b/a0", "b/c", "b0", "b0/a", "ba", "c/.x", "c/x.json", "c/x.json.gz", "z/日本", "ä",
}

func (c *check) putSome() []string {
	keys := slices.DeleteFunc(slices.Clone(someKeys), func(key string) bool { return strings.HasSuffix(key, "/") || key == "b0" })
	for i := range keys {
		c.put(keys[(i*7)%len(keys)], "x", &obs.PutOptions{Metadata: map[string]string{"k": "v"}})
	}
	return keys
}

func listOrder(c *check) {
	if got := c.keys("", nil); len(got) != 0 {
		c.broken("an empty bucket lists %q", got)
	}
	want := c.putSome()
	if got := c.keys("", nil); !slices.Equal(got, want) {
		c.broken("got  %q\nwant %q", got, want)
	}
}

func listPrefix(c *check) {
	keys := c.putSome()
	prefixes := append([]string{"", "b", "b/a", "b/a/", "b/a/b/c", "b/a/b/c/", "b/a/b/cd", "c/.", "none", "none/", "/", "//", "b//", "..", "../", "c/./", "ä", "\xc3", "\xff"}, someKeys...)
	for _, prefix := range prefixes {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if got := c.keys(prefix, nil); !slices.Equal(got, want) {
			c.broken("List(%q):\ngot  %q\nwant %q", prefix, got, want)
		}
	}
}

func listAfter(c *check) {
	keys := c.putSome()
	for _, prefix := range []string{"", "b", "b/", "c/x"} {
		for _, after := range append([]string{"", "b/a", "b/a/", "b/a/b", "b/a/b/c/", "b/b", "c", "zz", "\xff"}, someKeys...) {
			var want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := c.keys(prefix, &obs.ListOptions{After: after}); !slices.Equal(got, want) {
				c.broken("List(%q) after %q:\ngot  %q\nwant %q", prefix, after, got, want)
			}
		}
	}
}

func listDescribes(c *check) {
	c.put("a", "one", nil)
	c.put("b/c", "three", nil)
	for o, err := range c.List(c.ctx(), "", nil) {
		if err != nil {
			c.stop("List: %v", err)
		}
		head, err := c.Head(c.ctx(), o.Key)
		if err != nil || o.Size != head.Size || o.ETag != head.ETag || !o.ModTime.Equal(head.ModTime) {
			c.broken("List says %+v, Head %+v, %v", o, head, err)
		}
	}
}

func listStops(c *check) {
	keys := c.putSome()
	list := c.List(c.ctx(), "", nil)
	for stop := range keys {
		n := 0
		for o, err := range list {
			if err != nil || o.Key != keys[n] {
				c.stop("object %d is %q, %v; want %q", n, o.Key, err, keys[n])
			}
			if n == stop {
				break
			}
			n++
		}
		if n != stop {
			c.broken("the loop ended at %d, not at %d", n, stop)
		}
	}
}

func listMany(c *check) {
	const many = 1100
	want := make([]string, 0, many)
	for i := range many {
		want = append(want, fmt.Sprintf("d%02d/%04d", i/100, i))
		c.put(want[i], "", nil)
	}
	if got := c.keys("", nil); !slices.Equal(got, want) {
		c.broken("got %d keys, want %d in order", len(got), many)
	}
	if got := c.keys("d07/", &obs.ListOptions{After: want[790]}); !slices.Equal(got, want[791:800]) {
		c.broken("got %q, want %q", got, want[791:800])
	}
}

func listWhileChanging(c *check) {
	for i := range 50 {
		c.put(fmt.Sprintf("d/%02d", i), "", nil)
	}
	seen := map[string]int{}
	for o, err := range c.List(c.ctx(), "d/", nil) {
		if err != nil {
			c.stop("List: %v", err)
		}
		seen[o.Key]++
		if err := c.Client.Delete(c.ctx(), o.Key); err != nil {
			c.stop("Delete: %v", err)
		}
		c.put("e/"+o.Key, "", nil)
	}
	for i := range 50 {
		if key := fmt.Sprintf("d/%02d", i); seen[key] != 1 {
			c.broken("%q was seen %d times", key, seen[key])
		}
	}
	if got := c.keys("d/", nil); len(got) != 0 {
		c.broken("left: %q", got)
	}
}
