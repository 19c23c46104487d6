package s3obs_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// What a fake does with If-None-Match.
const (
	honourHeader = iota
	ignoreHeader
	refuseHeader // 501
)

// fake is a store of one bucket that speaks the S3 API well enough, checks every
// checksum that it is sent, and can be told to misbehave.
type fake struct {
	*httptest.Server
	ifNoneMatch int
	noChecksums bool // answers none, as Ceph does
	pageSize    int
	// confirms, if set, is how a put or part is confirmed to be encrypted, in the
	// place of how it was asked for.
	confirms *[2]string
	// before, if set, sees each request first, and answers it or says false.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after, if set, is called behind each change, with the lock held.
	after func(r *http.Request, objects map[string]fakeObject)

	mu       sync.Mutex
	objects  map[string]fakeObject
	uploads  map[string]*fakeUpload
	requests []*http.Request
	clock    time.Time
}

type fakeObject struct {
	content  []byte
	header   http.Header
	modified time.Time
	sha256   string // as the store keeps it
	etag     string
}

type fakeUpload struct {
	key    string
	header http.Header
	parts  map[int][]byte
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{pageSize: 1000, objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() { f.Close() })
	return f
}

// overTLS gives the fake a certificate.
func (f *fake) overTLS(t *testing.T) {
	t.Helper()
	f.Close()
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that the client gave up
	f.StartTLS()
}

func (f *fake) open(t *testing.T, opts s3obs.Options) *s3obs.Client {
	t.Helper()
	return openBucket(t, f.Server, opts)
}

func openBucket(t *testing.T, server *httptest.Server, opts s3obs.Options) *s3obs.Client {
	t.Helper()
	opts.Endpoint, opts.PathStyle = server.URL, true
	if opts.Credentials == nil {
		opts.Credentials = s3obs.StaticCredentials("AKID", "SECRET", "")
	}
	if opts.MaxBackoff == 0 {
		opts.MaxBackoff = time.Millisecond
	}
	if server.TLS != nil {
		opts.HTTPClient = server.Client()
	}
	c, err := s3obs.New(t.Context(), "bucket", &opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// log returns the requests so far as "PUT key" and forgets them.
func (f *fake) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, r := range f.requests {
		lines = append(lines, requestName(r))
	}
	f.requests = nil
	return lines
}

// sent returns the requests so far whose name begins with a text.
func (f *fake) sent(name string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*http.Request
	for _, r := range f.requests {
		if strings.HasPrefix(requestName(r), name) {
			found = append(found, r)
		}
	}
	return found
}

// requestName is the method, key and sub-resource of a request.
func requestName(r *http.Request) string {
	name := r.Method + " " + strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bucket"), "/")
	query := r.URL.Query()
	query.Del("x-id")
	for _, key := range slices.Sorted(maps.Keys(query)) {
		name += "?" + key
	}
	return name
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	before := f.before
	f.mu.Unlock()
	if before != nil && before(w, r) {
		// A server that answers before it has read all is cut off by the client's
		// system now and then, and its answer is lost.
		_, _ = io.Copy(io.Discard, r.Body)
		return
	}
	body, fault := readBody(r)
	if fault != "" {
		answerError(w, http.StatusBadRequest, fault)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = f.clock.Add(time.Second)
	w.Header().Set("Date", f.clock.Format(http.TimeFormat))
	if !strings.HasPrefix(r.URL.Path, "/bucket") {
		answerError(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	f.serve(w, r, strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bucket"), "/"), body)
	if f.after != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		f.after(r, f.objects)
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodHead && key == "":
	case query.Has("versioning"):
		answerXML(w, "VersioningConfiguration", "")
	case query.Has("encryption"):
		answerError(w, http.StatusNotFound, "ServerSideEncryptionConfigurationNotFoundError")
	case query.Has("object-lock"):
		answerError(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError")
	case query.Has("list-type"):
		f.list(w, query)
	case query.Has("uploads"):
		id := strconv.Itoa(len(f.uploads))
		f.uploads[id] = &fakeUpload{key, r.Header, map[int][]byte{}}
		f.confirm(w, r)
		answerXML(w, "InitiateMultipartUploadResult", "<UploadId>"+id+"</UploadId>")
	case query.Has("uploadId"):
		f.serveUpload(w, r, body, query.Get("uploadId"))
	case r.Method == http.MethodPut:
		f.put(w, r, key, body)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.get(w, r, key)
	}
}

// refused answers a put that If-None-Match forbids.
func (f *fake) refused(w http.ResponseWriter, r *http.Request, key string) bool {
	if r.Header.Get("If-None-Match") == "" {
		return false
	}
	_, exists := f.objects[key]
	switch {
	case f.ifNoneMatch == refuseHeader:
		answerError(w, http.StatusNotImplemented, "NotImplemented")
	case f.ifNoneMatch == honourHeader && exists:
		answerError(w, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		return false
	}
	return true
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if f.refused(w, r, key) {
		return
	}
	sum := md5.Sum(body)
	o := fakeObject{content: body, header: r.Header.Clone(), modified: f.clock, etag: `"` + hex.EncodeToString(sum[:]) + `"`}
	if r.Header.Get("X-Amz-Checksum-Sha256") != "" && !f.noChecksums {
		o.sha256 = r.Header.Get("X-Amz-Checksum-Sha256")
	}
	f.objects[key] = o
	w.Header().Set("ETag", o.etag)
	w.Header().Set("X-Amz-Checksum-Sha256", o.sha256)
	f.confirm(w, r)
}

func (f *fake) confirm(w http.ResponseWriter, r *http.Request) {
	answer := [2]string{r.Header.Get("X-Amz-Server-Side-Encryption"), r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}
	if f.confirms != nil {
		answer = *f.confirms
	}
	w.Header().Set("X-Amz-Server-Side-Encryption", answer[0])
	w.Header().Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", answer[1])
}

func (f *fake) serveUpload(w http.ResponseWriter, r *http.Request, body []byte, id string) {
	u := f.uploads[id]
	switch {
	case u == nil:
		answerError(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
		if err != nil {
			answerError(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		u.parts[number] = body
		w.Header().Set("ETag", fmt.Sprintf(`"part-%d"`, number))
		if !f.noChecksums {
			w.Header().Set("X-Amz-Checksum-Sha256", r.Header.Get("X-Amz-Checksum-Sha256"))
		}
	default:
		f.complete(w, r, u, id)
	}
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request, u *fakeUpload, id string) {
	if f.refused(w, r, u.key) {
		return
	}
	var content []byte
	sums := sha256.New()
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		sum := sha256.Sum256(u.parts[number])
		sums.Write(sum[:])
		content = append(content, u.parts[number]...)
	}
	o := fakeObject{content: content, header: u.header, modified: f.clock, etag: fmt.Sprintf(`"%x-%d"`, sums.Sum(nil)[:16], len(u.parts))}
	told := ""
	if !f.noChecksums {
		o.sha256 = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sums.Sum(nil)), len(u.parts))
		told = "<ChecksumSHA256>" + o.sha256 + "</ChecksumSHA256>"
	}
	f.objects[u.key] = o
	delete(f.uploads, id)
	answerXML(w, "CompleteMultipartUploadResult", "<ETag>"+o.etag+"</ETag>"+told)
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := f.objects[key]
	if !ok {
		answerError(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	for name, values := range o.header {
		if name == "Content-Type" || name == "Content-Encoding" || strings.HasPrefix(name, "X-Amz-Meta-") {
			w.Header()[name] = values
		}
	}
	w.Header().Set("ETag", o.etag)
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && o.sha256 != "" {
		w.Header().Set("X-Amz-Checksum-Sha256", o.sha256)
	}
	if r.Header.Get("Range") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(o.content)))
	}
	if r.Header.Get("Range") != "" && len(o.content) == 0 {
		answerError(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	http.ServeContent(w, r, "", o.modified, bytes.NewReader(o.content))
}

func (f *fake) list(w http.ResponseWriter, query url.Values) {
	begin := max(query.Get("start-after"), query.Get("continuation-token"))
	var b strings.Builder
	n, truncated := 0, false
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if key <= begin || !strings.HasPrefix(key, query.Get("prefix")) {
			continue
		}
		if n == f.pageSize {
			truncated = true
			break
		}
		n++
		o := f.objects[key]
		fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag><LastModified>%s</LastModified></Contents>",
			url.QueryEscape(key), len(o.content), o.etag, o.modified.Add(123*time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
		begin = key
	}
	if truncated {
		fmt.Fprintf(&b, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", begin)
	}
	answerXML(w, "ListBucketResult", "<EncodingType>url</EncodingType>"+b.String())
}

func answerXML(w http.ResponseWriter, name, inner string) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprintf(w, "%s<%s>%s</%s>", xml.Header, name, inner, name) // the client may have gone
}

func answerError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>as told</Message></Error>", xml.Header, code)
}

// readBody reads a body, out of its frame if it has one, and checks it against all
// checksums of the request. It returns the code of the error to answer.
func readBody(r *http.Request) (body []byte, fault string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "IncompleteBody"
	}
	if r.Header.Get("X-Amz-Content-Sha256") == "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		if body, err = readChunks(body, r.Header); err != nil {
			return nil, "IncompleteBody"
		}
		r.Header.Set("Content-Encoding", strings.Join(r.Header.Values("Content-Encoding"), ",")) // kept, as versitygw does
	}
	sum, sum5 := sha256.Sum256(body), md5.Sum(body)
	for header, want := range map[string]string{
		"Content-Md5":           base64.StdEncoding.EncodeToString(sum5[:]),
		"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]),
		"X-Amz-Content-Sha256":  hex.EncodeToString(sum[:]),
	} {
		got := r.Header.Get(header)
		if got != "" && got != want && got != "UNSIGNED-PAYLOAD" && !strings.HasPrefix(got, "STREAMING-") {
			return nil, "BadDigest"
		}
	}
	return body, ""
}

// readChunks takes the content out of an aws-chunked body, and puts its trailers
// into the header.
func readChunks(framed []byte, header http.Header) ([]byte, error) {
	from := bufio.NewReader(bytes.NewReader(framed))
	var body []byte
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(from, chunk); err != nil {
			return nil, err
		}
		body = append(body, chunk[:size]...)
	}
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			return body, nil
		}
		header.Set(name, value)
	}
}
