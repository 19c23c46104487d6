package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// A writer is a process of its own, this test binary with these in its environment.
const (
	writerDir    = "CTS_TEST_WRITER_DIR"    // of its store
	writerBucket = "CTS_TEST_WRITER_BUCKET" // a folder, or ENDPOINT BUCKET
	writerSeed   = "CTS_TEST_WRITER_SEED"   // of its faults; none if it is empty
)

// writerTraces is how many traces a writer records in all of its lives together.
const writerTraces = 240

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := write(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// openBucket opens the bucket that writers are told.
func openBucket(ctx context.Context, name string) (obs.Client, error) {
	endpoint, bucket, ok := strings.Cut(name, " ")
	if !ok {
		return dirobs.Open(name, nil)
	}
	return s3obs.New(ctx, bucket, &s3obs.Options{Endpoint: endpoint, PathStyle: true, Region: "us-east-1"})
}

// signer returns the key of the writer with the store in dir.
func signer(dir string) (*digest.Signer, error) {
	seed := bytes.Repeat([]byte(filepath.Base(dir)[:1]), ed25519.SeedSize)
	return digest.NewSigner(ed25519.NewKeyFromSeed(seed))
}

// write records what is left to be recorded, a few traces at a time, and dumps and seals
// all of it. While there are faults, no error is one.
func write(ctx context.Context, dir string) error {
	store, err := filestore.Open(dir, nil)
	if err != nil {
		return err
	}
	client, err := openBucket(ctx, os.Getenv(writerBucket))
	if err != nil {
		return err
	}
	key, err := signer(dir)
	if err != nil {
		return err
	}
	bucket := &badBucket{Client: client}
	if seed, err := strconv.ParseUint(os.Getenv(writerSeed), 10, 64); err == nil {
		bucket.random = mathrand.New(mathrand.NewPCG(seed, 1))
	}
	d, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
		MaxTraces: 7, Validation: &cts.ValidationOptions{Signer: key, BucketName: "audit"},
	})
	if err != nil {
		return err
	}
	defer d.Close()
	made := 0
	for _, err := range store.After(ctx, 0) {
		if err != nil {
			return err
		}
		made++
	}
	for made < writerTraces {
		tr := &cts.Trace{
			ID: fmt.Sprint(filepath.Base(dir), "-", made), Time: cts.MinTime, RecordTime: cts.MinTime + int64(made), Name: "deleteOrder",
			ServiceType: []string{"ECS", "EVS", "OBS"}[made%3], TrackerName: []string{"system", "data"}[made/3%2],
		}
		if _, err := store.Append(ctx, []cts.Entry{{Trace: tr}}); err != nil {
			return err
		}
		if made++; made%20 == 0 {
			if err := d.Flush(ctx); err != nil && bucket.random == nil {
				return err
			}
		}
	}
	if err := d.Seal(ctx); err != nil && bucket.random == nil {
		return err
	}
	return store.Close()
}

// badBucket fails at random, before or after it has done what it is told, and tells of
// every put.
type badBucket struct {
	obs.Client
	mu     sync.Mutex
	random *mathrand.Rand // nil: it does not fail
}

var errWire = errors.New("the wire was cut")

// fate returns whether a call fails before, and whether it does after it was done.
func (b *badBucket) fate() (before, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.random == nil {
		return false, false
	}
	n := b.random.IntN(16)
	return n == 0, n == 1
}

// Put implements obs.Client.
func (b *badBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	before, after := b.fate()
	fmt.Println("put")
	if before {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: errWire}
	}
	o, err := b.Client.Put(ctx, key, body, opts)
	if after {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: errWire}
	}
	return o, err
}

// Get implements obs.Client.
func (b *badBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if before, _ := b.fate(); before {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: errWire}
	}
	return b.Client.Get(ctx, key)
}

// live starts a writer and lets it live until it ends, or for some puts, after which it
// is killed. Without a seed it has to end well.
func live(t *testing.T, dir, bucket, seed string, puts int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Error(err)
		return
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), writerDir+"="+dir, writerBucket+"="+bucket, writerSeed+"="+seed)
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); puts-- {
		if puts == 0 {
			killed = true
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Errorf("writer %s: %v\n%s", dir, err, &errs)
	}
}

// Several processes, each with a store of its own, fill and seal one bucket at the same
// time; they are killed again and again, and their bucket fails. In the end it has every
// trace once, and the digests prove it.
func TestWriters(t *testing.T) {
	buckets := map[string]func(t *testing.T) string{
		"dirobs":    func(t *testing.T) string { return t.TempDir() },
		"minio":     func(t *testing.T) string { return serverBucket(t, "CTS_TEST_MINIO") },
		"versitygw": func(t *testing.T) string { return serverBucket(t, "CTS_TEST_VERSITYGW") },
	}
	for name, open := range buckets {
		for _, writers := range []int{2, 5} {
			t.Run(fmt.Sprint(name, "/", writers), func(t *testing.T) {
				bucket := open(t)
				root := t.TempDir()
				var dirs []string
				var all sync.WaitGroup
				for i := range writers {
					dir := filepath.Join(root, string(rune('a'+i)))
					dirs = append(dirs, dir)
					all.Go(func() {
						r := mathrand.New(mathrand.NewPCG(uint64(i), uint64(writers)))
						for n := range 4 {
							live(t, dir, bucket, fmt.Sprint(100*i+n), 1+r.IntN(30))
						}
						live(t, dir, bucket, "", -1)
					})
				}
				all.Wait()
				if !t.Failed() {
					checkWriters(t, bucket, dirs)
				}
			})
		}
	}
}

// checkWriters checks that the bucket has what the stores have, once, and that the digests
// prove it.
func checkWriters(t *testing.T, name string, dirs []string) {
	t.Helper()
	bucket, err := openBucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	stored, keys := map[string]string{}, []*digest.PublicKey{}
	for _, dir := range dirs {
		store, err := filestore.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range store.After(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			tr, err := e.Decode()
			if err != nil {
				t.Fatal(err)
			}
			stored[tr.ID] = string(e.JSON)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		key, err := signer(dir)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.Public())
	}
	if len(stored) != len(dirs)*writerTraces {
		t.Errorf("%d traces in %d stores", len(stored), len(dirs))
	}
	times := map[string]int{}
	for read, err := range cts.ReadDump(t.Context(), bucket, nil) {
		if err != nil {
			t.Fatal(err)
		}
		tr := read.Trace
		if times[tr.ID]++; string(tr.AppendJSON(nil)) != stored[tr.ID] {
			t.Errorf("trace %s in the bucket is not the one that is stored", tr.ID)
		}
	}
	for id := range stored {
		if times[id] != 1 {
			t.Errorf("trace %s is %d times in the bucket", id, times[id])
		}
	}
	report, err := digest.Verify(t.Context(), bucket, &digest.VerifyOptions{Keys: keys})
	if err != nil || !report.OK() || report.Checked.Traces != int64(len(stored)) {
		t.Errorf("Verify: %v, %+v", err, report)
	}
}

// serverBucket makes a bucket on a server, and sets the keys for it.
func serverBucket(t *testing.T, variable string) string {
	t.Helper()
	u, err := url.Parse(os.Getenv(variable))
	if err != nil || u.User == nil {
		t.Skipf("%s names no server to test against; run .ci/run s3", variable)
	}
	key := u.User.Username()
	secret, _ := u.User.Password()
	setKeys(t, key, secret)
	u.User = nil
	endpoint, bucket := u.String(), "cts-"+strings.ToLower(rand.Text())
	admin := s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: "us-east-1", Credentials: s3obs.StaticCredentials(key, secret, ""),
	})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	return endpoint + " " + bucket
}
