package s3obs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

func TestOptionsFaults(t *testing.T) {
	for name, test := range map[string]struct {
		bucket string
		opts   s3obs.Options
		faults int
	}{
		"empty bucket":       {"", s3obs.Options{}, 1},
		"bucket as a path":   {"a/b", s3obs.Options{}, 1},
		"long bucket":        {strings.Repeat("b", 64), s3obs.Options{}, 1},
		"no scheme":          {"bucket", s3obs.Options{Endpoint: "obs.example.com"}, 1},
		"another scheme":     {"bucket", s3obs.Options{Endpoint: "ftp://obs.example.com"}, 1},
		"secret in the URL":  {"bucket", s3obs.Options{Endpoint: "https://key:hunter2@obs.example.com"}, 1},
		"bucket in the URL":  {"bucket", s3obs.Options{Endpoint: "https://obs.example.com/bucket"}, 1},
		"query in the URL":   {"bucket", s3obs.Options{Endpoint: "https://obs.example.com?x"}, 1},
		"encryption":         {"bucket", s3obs.Options{Encryption: "rot13"}, 1},
		"key without KMS":    {"bucket", s3obs.Options{Encryption: s3obs.EncryptionS3, KMSKeyID: "k"}, 1},
		"lock":               {"bucket", s3obs.Options{Lock: "x", Retention: time.Hour}, 1},
		"lock for no time":   {"bucket", s3obs.Options{Lock: s3obs.LockCompliance}, 1},
		"time without lock":  {"bucket", s3obs.Options{Retention: time.Hour}, 1},
		"negative retention": {"bucket", s3obs.Options{Lock: s3obs.LockCompliance, Retention: -1}, 1},
		"checksums":          {"bucket", s3obs.Options{Checksums: 7}, 1},
		"conditional":        {"bucket", s3obs.Options{Conditional: -1}, 1},
		"look without right": {"bucket", s3obs.Options{Conditional: s3obs.ConditionalOff, WriteOnly: true}, 1},
		"small parts":        {"bucket", s3obs.Options{PartSize: 5<<20 - 1}, 1},
		"large parts":        {"bucket", s3obs.Options{PartSize: 5<<30 + 1}, 1},
		"negative bounds":    {"bucket", s3obs.Options{MaxAttempts: -1, MaxBackoff: -1, StallTimeout: -1}, 3},
	} {
		c, err := s3obs.New(t.Context(), test.bucket, &test.opts)
		wantIs(t, name, err, obs.ErrInvalid)
		if c != nil || err != nil && strings.Count(err.Error(), "\n")+1 != test.faults {
			t.Errorf("%s: want %d faults, got:\n%v", name, test.faults, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the secret shows: %v", name, err)
		}
	}
}

func TestConfigurationOfTheSDK(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	_, err := s3obs.New(t.Context(), "bucket", nil)
	wantIs(t, "no region", err, obs.ErrInvalid)

	// Keys, region and endpoint of the environment.
	f := newFake(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", f.URL)
	t.Setenv("AWS_REGION", "eu-de")
	t.Setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	c, err := s3obs.New(t.Context(), "bucket", &s3obs.Options{PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func(c *s3obs.Client) string {
		t.Helper()
		if _, err := c.Put(t.Context(), "k", strings.NewReader("x"), nil); err != nil {
			t.Fatal(err)
		}
		defer f.log()
		return f.sent("PUT")[0].Header.Get("Authorization")
	}
	if got := put(c); !strings.Contains(got, "Credential=ENVKEY/") || !strings.Contains(got, "/eu-de/s3/") {
		t.Errorf("signed as %s", got)
	}
	// What is given goes first.
	c = f.open(t, s3obs.Options{Region: "cn-north-4", Credentials: s3obs.StaticCredentials("GIVEN", "s", "token")})
	if got := put(c); !strings.Contains(got, "Credential=GIVEN/") || !strings.Contains(got, "/cn-north-4/s3/") || !strings.Contains(got, "x-amz-security-token") {
		t.Errorf("signed as %s", got)
	}
	t.Setenv("AWS_REGION", "")
	if got := put(f.open(t, s3obs.Options{})); !strings.Contains(got, "/us-east-1/s3/") {
		t.Errorf("signed as %s", got)
	}
	t.Setenv("AWS_PROFILE", "no-such-profile")
	if _, err := s3obs.New(t.Context(), "bucket", &s3obs.Options{Endpoint: f.URL}); err == nil {
		t.Error("a profile that is not there was passed over")
	}
}

func TestOptionsAreCopied(t *testing.T) {
	f := newFake(t)
	opts := s3obs.Options{Endpoint: f.URL, PathStyle: true, Credentials: s3obs.StaticCredentials("a", "b", ""), StorageClass: "WARM"}
	c, err := s3obs.New(t.Context(), "bucket", &opts)
	if err != nil {
		t.Fatal(err)
	}
	opts = s3obs.Options{}
	if _, err := c.Put(t.Context(), "k", strings.NewReader("x"), nil); err != nil {
		t.Fatal(err)
	}
	if got := f.sent("PUT")[0].Header.Get("X-Amz-Storage-Class"); got != "WARM" {
		t.Errorf("storage class %q", got)
	}
}

func TestStaticCredentialsDoNotShow(t *testing.T) {
	opts := s3obs.Options{Credentials: s3obs.StaticCredentials("AKID", "hunter2", "token9")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, opts) + fmt.Sprintf(format, opts.Credentials); strings.Contains(text, "hunter2") || strings.Contains(text, "token9") {
			t.Errorf("%s shows the secret", format)
		}
	}
	keys, err := opts.Credentials.Retrieve(t.Context())
	if err != nil || keys.AccessKeyID != "AKID" || keys.SecretAccessKey != "hunter2" || keys.SessionToken != "token9" {
		t.Errorf("got other keys, %v", err)
	}
}
