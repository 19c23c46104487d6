package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// setKeys gives the SDK keys, and nothing else to look for some.
func setKeys(t *testing.T, key, secret string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

// A bucket in a real store is verified, as a whole and in a folder of another.
func TestVerifyOnServers(t *testing.T) {
	for _, variable := range []string{"CTS_TEST_MINIO", "CTS_TEST_VERSITYGW"} {
		t.Run(variable, func(t *testing.T) {
			u, err := url.Parse(os.Getenv(variable))
			if err != nil || u.User == nil {
				t.Skipf("%s names no server to test against; run .ci/run s3", variable)
			}
			secret, _ := u.User.Password()
			setKeys(t, u.User.Username(), secret)
			u.User = nil
			w := newWorld(t)
			name := copyToServer(t, w, u.String(), "", "years/2024/")
			verify := "verify --key $W/public.pem --heads $W/heads.json --path-style --endpoint " + u.String() + " s3://" + name
			prove := "prove --id $ID --key $W/public.pem --path-style --endpoint " + u.String() + " s3://" + name
			w.script(t, []step{
				{verify, exitClean, `verdict: clean\n$`, ""},
				{verify + "/", exitClean, `verdict: clean\n$`, ""},
				{verify + "/years/2024", exitClean, `10 trace files.*verdict: clean\n$`, ""},
				{verify + "/years", exitFound, `chain-deleted|digest-deleted`, ""},
				{verify + "-none", exitFailed, "*", `bucket does not exist`},
				{prove + "/years/2024/", exitClean, `^{"version":1,`, ""},
			})
			fingerprint := keyLine(t, w.cts(t, "", "keygen", "$W/rootkey").out, "fingerprint")
			server := " --path-style --endpoint " + u.String()
			w.script(t, []step{
				{"keys add --root-key $W/rootkey/private.pem --from 2024-06-01 $W/keys.json $W/public.pem", exitClean, "*", ""},
				{"keys publish" + server + " $W/keys.json s3://" + name + "/years/2024", exitClean, `published +CloudTraces/eu-de/Keys/keys.json`, ""},
				{"verify --root " + fingerprint + server + " s3://" + name + "/years/2024", exitClean, `verdict: clean\n$`, ""},
				{"verify --root " + fingerprint + server + " s3://" + name, exitFailed, `verdict: not checked`, `no root in the bucket has a key history`},
			})
			client, err := s3obs.New(t.Context(), name, &s3obs.Options{Endpoint: u.String(), PathStyle: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Delete(t.Context(), "years/2024/"+w.file); err != nil {
				t.Fatal(err)
			}
			w.script(t, []step{{verify + "/years/2024", exitFound, `damage: file-deleted ` + w.file, ""}, {verify, exitClean, "*", ""}})
		})
	}
}

// copyToServer copies the world's bucket into the folders of a new one, whose name it
// returns.
func copyToServer(t *testing.T, w *world, endpoint string, folders ...string) string {
	t.Helper()
	name := "cts-" + strings.ToLower(rand.Text())
	options := &s3obs.Options{Endpoint: endpoint, PathStyle: true}
	admin := s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: "us-east-1",
		Credentials: s3obs.StaticCredentials(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	to, err := s3obs.New(t.Context(), name, options)
	if err != nil {
		t.Fatal(err)
	}
	from, err := dirobs.Open(filepath.Join(w.dir, "bucket"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for o, err := range from.List(t.Context(), "", nil) {
		if err != nil {
			t.Fatal(err)
		}
		body, o, err := from.Get(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		for _, folder := range folders {
			if _, err := to.Put(t.Context(), folder+o.Key, bytes.NewReader(content), &obs.PutOptions{Metadata: o.Metadata}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return name
}
