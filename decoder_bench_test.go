package cts_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func BenchmarkDecoder(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		d := cts.NewDecoder(&endless{text: append(t.AppendJSON(nil), '\n')}, &cts.DecoderOptions{TrustExt: true})
		for b.Loop() {
			if _, err := d.Next(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// endless gives the same text again and again, n bytes of it, or without end for 0.
type endless struct {
	text []byte
	n    int64
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n > 0 && e.read == e.n {
		return 0, io.EOF
	}
	at := int(e.read % int64(len(e.text)))
	k := copy(p, e.text[at:])
	if e.n > 0 {
		k = int(min(int64(k), e.n-e.read))
	}
	e.read += int64(k)
	return k, nil
}

func TestEndless(t *testing.T) {
	got, err := io.ReadAll(&endless{text: []byte("abc"), n: 7})
	if err != nil || !bytes.Equal(got, []byte("abcabca")) || errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v", got, err)
	}
}
