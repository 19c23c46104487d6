package s3obs

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts/obs"
)

func FuzzReadContent(f *testing.F) {
	f.Add([]byte("0123456789"), 3, 2)
	f.Add([]byte{}, 0, 1)
	f.Add([]byte("012345"), 0, 3)
	f.Fuzz(func(t *testing.T, data []byte, start, partSize int) {
		if start < 0 || start > len(data) || partSize < 1 || len(data)/partSize > 100 {
			return
		}
		body := bytes.NewReader(data)
		if _, err := body.Seek(int64(start), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		c, err := readContent(t.Context(), body, int64(partSize))
		if err != nil {
			t.Fatal(err)
		}
		want := data[start:]
		if c.size != int64(len(want)) || c.sha256 != sha256.Sum256(want) {
			t.Errorf("%d bytes with hash %x", c.size, c.sha256)
		}
		var joined []byte
		for i := range c.parts {
			p := &c.parts[i]
			got, err := io.ReadAll(iotest.OneByteReader(c.open(p)))
			if err != nil || p.sha256 != sha256.Sum256(got) || p.md5 != md5.Sum(got) || p.size != int64(len(got)) {
				t.Errorf("part %d: %+v of %d bytes, %v", i, p, len(got), err)
			}
			if len(c.parts) > 1 && (len(got) == 0 || len(got) != partSize && i < len(c.parts)-1) {
				t.Errorf("part %d of %d has %d bytes", i, len(c.parts), len(got))
			}
			joined = append(joined, got...)
		}
		if !bytes.Equal(joined, want) {
			t.Errorf("the parts join to %d other bytes", len(joined))
		}
	})
}

func TestTooManyParts(t *testing.T) {
	for size, want := range map[int]error{maxParts: nil, maxParts + 1: obs.ErrInvalid} {
		c, err := readContent(t.Context(), bytes.NewReader(make([]byte, size)), 1)
		if !errors.Is(err, want) || err == nil && len(c.parts) != maxParts {
			t.Errorf("%d parts: %v, want %v", size, err, want)
		}
	}
}

func TestSection(t *testing.T) {
	c, err := readContent(t.Context(), strings.NewReader("0123456789"), 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0123", "4567", "89"} {
		if err := iotest.TestReader(c.open(&c.parts[i]), []byte(want)); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
	}
	if _, err := c.open(&c.parts[1]).Seek(-1, io.SeekStart); !errors.Is(err, obs.ErrInvalid) {
		t.Errorf("before the beginning: %v", err)
	}
}

func FuzzAskable(f *testing.F) {
	for _, seed := range []string{"", "a/b", "a/.", "a/./b", "..", "/", "a//b", "a/\xc3", "\xff", "\ufffd/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := askable(s)
		if !strings.HasPrefix(s, got) || !utf8.ValidString(got) {
			t.Errorf("%q of %q", got, s)
		}
		if obs.ValidateKey(s) == nil && got != s {
			t.Errorf("the valid key %q is asked for as %q", s, got)
		}
		for segment := range strings.SplitSeq(strings.TrimSuffix(got, "/"), "/") {
			if got != "" && (segment == "" || segment == "." || segment == "..") {
				t.Errorf("%q of %q has the segment %q", got, s, segment)
			}
		}
	})
}

func FuzzTotalSize(f *testing.F) {
	for _, seed := range []string{"bytes 0-3/10", "bytes */10", "bytes 0-3/*", "", "/", "/-1", "/99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, ok := totalSize(&text); ok && (n < 0 || !strings.Contains(text, "/")) {
			t.Errorf("%q has size %d", text, n)
		}
	})
}

func TestTotalSize(t *testing.T) {
	for text, want := range map[string]int64{"bytes 0-3/10": 10, "bytes */0": 0, "bytes 0-3/*": -1, "": -1, "bytes 0-3": -1, "/-1": -1} {
		n, ok := totalSize(&text)
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q has size %d, want %d", text, n, want)
		}
	}
}

func TestByteRange(t *testing.T) {
	for _, test := range []struct {
		offset, length int64
		want           string
	}{
		{0, 1, "bytes=0-0"},
		{3, 4, "bytes=3-6"},
		{3, -1, "bytes=3-"},
		{3, math.MinInt64, "bytes=3-"},
		{0, math.MaxInt64, "bytes=0-9223372036854775806"},
		{1, math.MaxInt64, "bytes=1-"},
		{math.MaxInt64, math.MaxInt64, "bytes=9223372036854775807-"},
	} {
		if got := *byteRange(test.offset, test.length); got != test.want {
			t.Errorf("[%d, +%d) is %s, want %s", test.offset, test.length, got, test.want)
		}
	}
}

func FuzzFullSHA256(f *testing.F) {
	sum := sha256.Sum256(nil)
	for _, seed := range []string{"", base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]) + "-2", "AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := fullSHA256(&text, "")
		if got != nil && (len(got) != sha256.Size || strings.Contains(text, "-")) {
			t.Errorf("%q is %x", text, got)
		}
		if fullSHA256(&text, "COMPOSITE") != nil {
			t.Errorf("%q of parts was taken for the hash of a content", text)
		}
	})
}

// deadlines is a connection that notes what is set.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func (d *deadlines) Read([]byte) (int, error)    { return 1, nil }
func (d *deadlines) Write(p []byte) (int, error) { return len(p), nil }

// TestMovingConnection: what is written moves the deadline of what is read, or a
// long upload would look like a dead server.
func TestMovingConnection(t *testing.T) {
	inner := &deadlines{}
	c := &movingConn{Conn: inner, stall: time.Hour}
	before := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if len(inner.set) != 2 {
		t.Fatalf("%d deadlines, want one for each byte", len(inner.set))
	}
	for _, at := range inner.set {
		if at.Before(before.Add(time.Hour)) || at.After(time.Now().Add(time.Hour)) {
			t.Errorf("the deadline is in %s", time.Until(at))
		}
	}
}
