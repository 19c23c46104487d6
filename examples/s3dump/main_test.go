package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Setenv("S3_BUCKET", "")
	for _, args := range [][]string{{}, {"-bucket", "audit", "-requests", "0"}, {"-bucket", "audit", "surplus"}, {"-nonsense"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, %s", args, code, &errs)
		}
	}
}

// A bucket that is not there is told before anything is recorded.
func TestNoBucket(t *testing.T) {
	setKeys(t, "none", "none")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte("<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>"))
		}
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	args := []string{"-endpoint", server.URL, "-path-style", "-bucket", "audit", "-dir", t.TempDir()}
	if code := run(t.Context(), args, &out, &errs); code != 1 || !strings.Contains(errs.String(), "bucket does not exist") || strings.Contains(out.String(), "verified=") {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
}

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

// The whole way with a real server.
func TestServers(t *testing.T) {
	for _, variable := range []string{"CTS_TEST_MINIO", "CTS_TEST_VERSITYGW"} {
		t.Run(variable, func(t *testing.T) {
			endpoint, bucket, _ := strings.Cut(serverBucket(t, variable), " ")
			dir := t.TempDir()
			for range 2 { // the second run goes on with store, keys and bucket
				var out, errs bytes.Buffer
				args := []string{"-endpoint", endpoint, "-path-style", "-bucket", bucket, "-dir", dir, "-requests", "200"}
				if code := run(t.Context(), args, &out, &errs); code != 0 || !strings.HasSuffix(out.String(), " verified=ok\n") {
					t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
				}
			}
		})
	}
}
