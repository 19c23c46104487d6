package digest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/digest"
)

// BenchmarkVerify compares Verify with what can't be saved: reading every trace file,
// gunzip, and one SHA-256, over the stored bytes or over the content; with the same
// packages, as parallel, and in turn in the same run. The ratios are the throughput of
// Verify in units of these.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, worldOptions{writers: 1, hours: 1})
	a := w.writers[0]
	const traces = 50_000
	files := 2 * runtime.GOMAXPROCS(0)
	w.options.hours = 2
	var size, stored int64
	for i := range files {
		content := benchContent(i, traces)
		z := zip(b, content)
		w.deliverFile(a, fileKey("system", "ECS", w.now, content), z)
		size += int64(len(content))
		stored += int64(len(z))
	}
	w.now = w.now.Add(time.Hour)
	w.cut(a, digest.StampOf(w.now), false)
	b.Logf("%d files of %d traces of %d bytes, stored in %d%%", files, traces, size/int64(files)/traces, 100*stored/size)

	var overStored, overContent, verify time.Duration
	b.SetBytes(size)
	for b.Loop() {
		overStored += w.timed(func() { w.gunzip(a.files[1], true) })
		verify += w.timed(func() {
			if r := w.verify(func(o *digest.VerifyOptions) { o.Parallel = 0 }); !r.OK() || r.Checked.Traces != int64(files*traces) {
				b.Errorf("%+v\n%s", r.Checked, findings(r))
			}
		})
		overContent += w.timed(func() { w.gunzip(a.files[1], false) })
	}
	b.ReportMetric(overStored.Seconds()/verify.Seconds(), "of-gunzip+sha(stored)")
	b.ReportMetric(overContent.Seconds()/verify.Seconds(), "of-gunzip+sha(content)")
	b.ReportMetric(float64(size)*float64(b.N)/1e6/verify.Seconds(), "verify-MB/s")
}

func (w *world) timed(work func()) time.Duration {
	begin := time.Now()
	work()
	return time.Since(begin)
}

// gunzip reads, hashes and uncompresses the files, as parallel as Verify.
func (w *world) gunzip(keys []string, overStored bool) {
	next := make(chan string, len(keys))
	for _, key := range keys {
		next <- key
	}
	close(next)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			var z *gzip.Reader
			sum, buffer := sha256.New(), make([]byte, 128<<10)
			for key := range next {
				if err := gunzipOne(w, key, &z, sum, buffer, overStored); err != nil {
					w.tb.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func gunzipOne(w *world, key string, z **gzip.Reader, sum hash.Hash, buffer []byte, overStored bool) error {
	body, _, err := w.bucket.Get(context.Background(), key)
	if err != nil {
		return err
	}
	defer body.Close()
	r, out := io.Reader(body), struct{ io.Writer }{sum}
	if overStored {
		r, out.Writer = io.TeeReader(body, sum), io.Discard
	}
	if *z == nil {
		*z, err = gzip.NewReader(r)
	} else {
		err = (*z).Reset(r)
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, *z, buffer)
	}
	return err
}

// benchContent makes a trace file that compresses about as well as real ones.
func benchContent(salt, traces int) []byte {
	words := []string{"instance", "network", "10.0.4.", "subnet", "volume", "eu-de", "true", "create", "flavor", "image", "name", "0198b2"}
	var b bytes.Buffer
	x := uint32(salt)*2654435761 + 1
	for i := range traces {
		var text strings.Builder
		for text.Len() < 640 {
			x = x*1664525 + 1013904223
			fmt.Fprintf(&text, "%s %x,", words[(x>>16)%12], x>>20)
		}
		fmt.Fprintf(&b, `,{"trace_id":"0198b2c4-7d3e-7a10-9c5f-%012x","trace_name":"createServer","trace_rating":"normal","user":{"name":"user-%d","id":"%016x"},"request":"{\"server\":\"%s\"}","time":%d}`,
			i, i%977, uint64(x)*0x9e3779b97f4a7c15, text.String(), 1790000000000+int64(i)*37)
	}
	b.WriteByte(']')
	b.Bytes()[0] = '['
	return b.Bytes()
}
