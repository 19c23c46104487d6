package obstest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"maps"
	"math/rand/v2"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
)

func putRules() []rule {
	return []rule{
		newRule("RoundTrip", "Get returns the bytes that were put, and Put, Get and Head describe the object alike",
			"a trace file is its bytes", roundTrip),
		newRule("EmptyObject", "an object may have no content",
			"an hour without traces has a digest file and may have an empty trace file", emptyObject),
		newRule("LargeObject", "an object of 5 MiB comes back unchanged",
			"trace files are large, and stores begin to cut uploads into parts there", largeObject),
		newRule("BodyPosition", "Put stores the body from its present position to its end",
			"callers put parts of larger buffers", bodyPosition),
		newRule("Overwrite", "Put replaces content, type and metadata of an object, and its ETag changes",
			"nothing of an old version may be taken for the new one's", overwrite),
		newRule("IfAbsent", "with IfAbsent an object that is there is left alone and the error is ErrExists",
			"trace files and digests are never overwritten", ifAbsent),
		newRule("Metadata", "content type, content encoding and metadata come back as put",
			"the signature of a digest is in its metadata", metadata),
		newRule("LargestMetadata", "2048 bytes of metadata are taken",
			"signatures and chain heads are long", largestMetadata),
		newRule("Checksum", "content with another hash than PutOptions.SHA256 is refused with ErrChecksum or stored nowhere it can be seen; the right one is taken",
			"what was damaged on the way must not be found in the bucket", checksum),
		newRule("ReportedHash", "a SHA256 that is reported is the hash of the content",
			"delivery is verified by it", reportedHash),
		newRule("Delete", "a deleted object is absent, its neighbours are not, and it may be put again without its old metadata",
			"retention and tests delete", deleteObject),
		newRule("DeleteAbsent", "deleting an absent object succeeds",
			"a repeated delete must not fail, and S3 cannot tell", deleteAbsent),
		newRule("Memory", "neither the caller's memory nor that of a returned Object is shared with the store",
			"callers reuse buffers and change maps", memory),
	}
}

func roundTrip(c *check) {
	contents := map[string]string{"a": "x", "a.b/c-d/e_f.json.gz": "\x1f\x8b\x00binary\r\n", "ä/日本 x": "utf-8", strings.Repeat("long/", 204) + "key!": "1024 bytes of key"}
	for key, content := range contents {
		put := c.put(key, content, nil)
		got, o := c.get(key)
		head, err := c.Head(c.ctx(), key)
		if got != content || err != nil {
			c.broken("%.40q: got %d bytes and %v, want the %d that were put", key, len(got), err, len(content))
		}
		for what, o := range map[string]obs.Object{"Put": put, "Get": o, "Head": head} {
			if o.Key != key || o.Size != int64(len(content)) || o.ETag == "" || o.ETag != put.ETag || o.ModTime.IsZero() || !o.ModTime.Equal(head.ModTime) {
				c.broken("%s describes %.40q of %d bytes as %+v, Head as %+v", what, key, len(content), o, head)
			}
		}
	}
}

func emptyObject(c *check) {
	c.put("empty", "", &obs.PutOptions{Metadata: map[string]string{"k": "v"}})
	if content, o := c.get("empty"); content != "" || o.Size != 0 || o.Metadata["k"] != "v" {
		c.broken("got %q and %+v", content, o)
	}
	if got := c.keys("", nil); len(got) != 1 {
		c.broken("List = %q", got)
	}
}

func largeObject(c *check) {
	content := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{1})
	if _, err := io.ReadFull(random, content); err != nil {
		c.stop("%v", err)
	}
	c.put("large", string(content), nil)
	if got, o := c.get("large"); got != string(content) || o.Size != int64(len(content)) {
		c.broken("got %d other bytes and size %d", len(got), o.Size)
	}
}

func bodyPosition(c *check) {
	body := bytes.NewReader([]byte("0123456789"))
	if _, err := body.Seek(4, io.SeekStart); err != nil {
		c.stop("%v", err)
	}
	o, err := c.Put(c.ctx(), "part", body, nil)
	if err != nil || o.Size != 6 {
		c.stop("Put = %+v, %v", o, err)
	}
	if got, _ := c.get("part"); got != "456789" {
		c.broken("got %q, want 456789", got)
	}
}

func overwrite(c *check) {
	// The same length twice: nothing but the content tells the versions apart.
	first := c.put("k", "one", &obs.PutOptions{ContentType: "text/plain", Metadata: map[string]string{"v": "1", "only": "first"}})
	second := c.put("k", "two", &obs.PutOptions{ContentType: "text/html", Metadata: map[string]string{"v": "2"}})
	content, o := c.get("k")
	if content != "two" || o.ContentType != "text/html" || !maps.Equal(o.Metadata, map[string]string{"v": "2"}) {
		c.broken("got %q with %q and %v", content, o.ContentType, o.Metadata)
	}
	if first.ETag == second.ETag {
		c.broken("both versions have the ETag %q", first.ETag)
	}
	c.put("k", "", nil)
	if content, o := c.get("k"); content != "" || len(o.Metadata) != 0 {
		c.broken("got %q with %v, want nothing", content, o.Metadata)
	}
}

func ifAbsent(c *check) {
	opts := func(v string) *obs.PutOptions {
		return &obs.PutOptions{IfAbsent: true, Metadata: map[string]string{"v": v}}
	}
	c.put("k", "first", opts("1"))
	for _, content := range []string{"second", "first"} {
		_, err := c.Put(c.ctx(), "k", strings.NewReader(content), opts("2"))
		c.wantError("Put of an object that is there", "put", err, obs.ErrExists)
	}
	if content, o := c.get("k"); content != "first" || o.Metadata["v"] != "1" {
		c.broken("got %q with %v, want the first", content, o.Metadata)
	}
	if err := c.Client.Delete(c.ctx(), "k"); err != nil {
		c.stop("Delete: %v", err)
	}
	c.put("k", "third", opts("3"))
	if content, o := c.get("k"); content != "third" || o.Metadata["v"] != "3" {
		c.broken("got %q with %v after deleting and putting again", content, o.Metadata)
	}
}

func metadata(c *check) {
	want := obs.PutOptions{
		ContentType: "application/json; charset=utf-8", ContentEncoding: "gzip",
		Metadata: map[string]string{
			"meta-signature": "0123456789abcdef", "meta-signature-algorithm": "SHA256withRSA",
			"with_underline": "a  b", "9": "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~",
		},
	}
	c.put("k", "content", &want)
	_, got := c.get("k")
	head, err := c.Head(c.ctx(), "k")
	if err != nil {
		c.stop("Head: %v", err)
	}
	for what, o := range map[string]obs.Object{"Get": got, "Head": head} {
		if o.ContentType != want.ContentType || o.ContentEncoding != want.ContentEncoding || !maps.Equal(o.Metadata, want.Metadata) {
			c.broken("%s gives %q, %q, %q; want %+v", what, o.ContentType, o.ContentEncoding, o.Metadata, want)
		}
	}
}

func largestMetadata(c *check) {
	want := map[string]string{"a": strings.Repeat("x", 1023), "b": strings.Repeat("y", obs.MaxMetadata-1025)}
	c.put("k", "", &obs.PutOptions{Metadata: want})
	if _, o := c.get("k"); !maps.Equal(o.Metadata, want) {
		c.broken("it came back changed: %d keys", len(o.Metadata))
	}
}

func checksum(c *check) {
	sum := sha256.Sum256([]byte("right"))
	_, err := c.Put(c.ctx(), "k", strings.NewReader("wrong"), &obs.PutOptions{SHA256: sum[:]})
	c.wantError("Put of wrong content", "put", err, obs.ErrChecksum)
	c.wantAbsent("k")
	c.put("k", "right", &obs.PutOptions{SHA256: sum[:]})
	_, err = c.Put(c.ctx(), "k", strings.NewReader("wrong"), &obs.PutOptions{SHA256: sum[:]})
	c.wantError("Put of wrong content over right", "put", err, obs.ErrChecksum)
	if content, _ := c.get("k"); content != "right" {
		c.broken("wrong content replaced the right one: %q", content)
	}
}

func reportedHash(c *check) {
	want := sha256.Sum256([]byte("content"))
	put := c.put("k", "content", nil)
	_, got := c.get("k")
	head, err := c.Head(c.ctx(), "k")
	if err != nil {
		c.stop("Head: %v", err)
	}
	for what, o := range map[string]obs.Object{"Put": put, "Get": got, "Head": head} {
		if o.SHA256 != nil && !bytes.Equal(o.SHA256, want[:]) {
			c.broken("%s says %x, the hash is %x", what, o.SHA256, want)
		}
	}
}

func deleteObject(c *check) {
	for _, key := range []string{"d/a", "d/b", "d/bc", "d/b-c"} {
		c.put(key, key, &obs.PutOptions{Metadata: map[string]string{"k": "old"}})
	}
	if err := c.Client.Delete(c.ctx(), "d/b"); err != nil {
		c.stop("Delete: %v", err)
	}
	if _, err := c.Head(c.ctx(), "d/b"); err == nil {
		c.broken("the object is still there")
	}
	for _, key := range []string{"d/a", "d/bc", "d/b-c"} {
		if content, _ := c.get(key); content != key {
			c.broken("%q has changed", key)
		}
	}
	c.put("d/b", "d/b", nil)
	if _, o := c.get("d/b"); len(o.Metadata) != 0 {
		c.broken("the old metadata came back: %v", o.Metadata)
	}
	// Once the last object below it is gone, a folder is gone.
	for _, key := range []string{"d/a", "d/b", "d/bc", "d/b-c"} {
		if err := c.Client.Delete(c.ctx(), key); err != nil {
			c.stop("Delete: %v", err)
		}
	}
	c.put("d", "an object now", nil)
}

func deleteAbsent(c *check) {
	c.put("d/a", "", nil)
	for _, key := range []string{"none", "d/none", "none/none", "d", "d/a/x"} {
		for range 2 {
			if err := c.Client.Delete(c.ctx(), key); err != nil {
				c.broken("Delete(%q): %v", key, err)
			}
		}
	}
	c.get("d/a")
}

func memory(c *check) {
	content := []byte("content")
	meta := map[string]string{"k": "v"}
	sum := sha256.Sum256(content)
	opts := &obs.PutOptions{Metadata: meta, SHA256: sum[:]}
	put, err := c.Put(c.ctx(), "k", bytes.NewReader(content), opts)
	if err != nil {
		c.stop("Put: %v", err)
	}
	if len(meta) != 1 || meta["k"] != "v" || string(content) != "content" || !bytes.Equal(opts.SHA256, sum[:]) {
		c.broken("Put changed what it was given")
	}
	spoil := func(m map[string]string, b []byte) {
		if m != nil {
			m["k"], m["new"] = "spoilt", "spoilt"
		}
		clear(b)
	}
	spoil(meta, content)
	spoil(nil, opts.SHA256)
	spoil(put.Metadata, put.SHA256)
	want := sha256.Sum256([]byte("content"))
	for range 2 {
		got, o := c.get("k")
		head, err := c.Head(c.ctx(), "k")
		if err != nil {
			c.stop("Head: %v", err)
		}
		for _, o := range []obs.Object{o, head} {
			if got != "content" || !maps.Equal(o.Metadata, map[string]string{"k": "v"}) || o.SHA256 != nil && !bytes.Equal(o.SHA256, want[:]) {
				c.broken("the store now has %q and %v", got, o.Metadata)
			}
			spoil(o.Metadata, o.SHA256)
		}
	}
}
