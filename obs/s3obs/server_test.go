package s3obs_test

import (
	"crypto/rand"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/obstest"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// server is a real store that the tests run against. The variable holds its URL
// with the keys, such as http://key:secret@127.0.0.1:9000. Without it the tests of
// that store are skipped; the stage s3 of .ci/run starts the stores and sets them.
type server struct {
	name, variable string
	kms            bool              // encrypts with a key management service
	sts            bool              // gives temporary keys with a policy of their own
	cannot         map[string]string // rules of obstest that it breaks, and why
}

var servers = []server{
	{name: "minio", variable: "CTS_TEST_MINIO", kms: true, sts: true, cannot: map[string]string{
		"LargestMetadata": "MinIO counts x-amz-meta- with each key: TestMetadataLimitOfMinIO",
	}},
	{name: "versitygw", variable: "CTS_TEST_VERSITYGW", cannot: map[string]string{
		"MixedUse": "versitygw answers 409 to a put while a delete beside it removes the emptied folder",
	}},
}

// eachServer runs a test on each store that there is.
func eachServer(t *testing.T, test func(t *testing.T, s *store)) {
	t.Helper()
	for _, one := range servers {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t, one))
		})
	}
}

// store is a server with the administrator's keys.
type store struct {
	server
	endpoint, accessKey, secretKey string
	admin                          *s3.Client
}

func newStore(t *testing.T, one server) *store {
	t.Helper()
	value := os.Getenv(one.variable)
	if value == "" {
		t.Skipf("%s is not set: no %s to test against; run .ci/run s3", one.variable, one.name)
	}
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		t.Fatalf("%s is not a URL with keys", one.variable)
	}
	secret, _ := u.User.Password()
	s := &store{server: one, accessKey: u.User.Username(), secretKey: secret}
	u.User = nil
	s.endpoint = u.String()
	s.admin = s3.New(s3.Options{
		BaseEndpoint: &s.endpoint, UsePathStyle: true, Region: "us-east-1",
		Credentials: s3obs.StaticCredentials(s.accessKey, secret, ""), RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	return s
}

// bucket makes a bucket that is removed with the scratch directory of the server.
func (s *store) bucket(t *testing.T, locked bool) string {
	t.Helper()
	name := "cts-" + strings.ToLower(rand.Text())
	_, err := s.admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &locked})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// open returns a client with the administrator's keys, unless opts bring others.
func (s *store) open(t *testing.T, bucket string, opts s3obs.Options) *s3obs.Client {
	t.Helper()
	opts.Endpoint, opts.PathStyle, opts.Region = s.endpoint, true, "us-east-1"
	if opts.Credentials == nil {
		opts.Credentials = s3obs.StaticCredentials(s.accessKey, s.secretKey, "")
	}
	c, err := s3obs.New(t.Context(), bucket, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// versions lists what a bucket has of a key, with delete markers.
func (s *store) versions(t *testing.T, bucket, key string) (versions []types.ObjectVersion, markers []types.DeleteMarkerEntry) {
	t.Helper()
	out, err := s.admin.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	return out.Versions, out.DeleteMarkers
}

func TestServersKeepTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		for name, opts := range map[string]s3obs.Options{
			"default":  {},
			"required": {Conditional: s3obs.ConditionalRequire, Checksums: s3obs.ChecksumTrailers},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				obstest.Run(t, func(t *testing.T) obs.Client {
					if why, ok := s.cannot[path.Base(t.Name())]; ok {
						t.Skip(why)
					}
					return s.open(t, s.bucket(t, false), opts)
				})
			})
		}
	})
}
