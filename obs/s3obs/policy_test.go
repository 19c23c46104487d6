package s3obs_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestPolicyText(t *testing.T) {
	aws := []string{"arn:aws:iam::111122223333:role/app"}
	for name, test := range map[string]struct {
		opts  *s3obs.PolicyOptions
		roles []s3obs.Role
	}{
		"writer":       {nil, []s3obs.Role{s3obs.Writer}},
		"sealer":       {nil, []s3obs.Role{s3obs.Sealer}},
		"reader":       {nil, []s3obs.Role{s3obs.Reader}},
		"writersealer": {&s3obs.PolicyOptions{Principals: aws}, []s3obs.Role{s3obs.Writer, s3obs.Sealer}},
		"strict": {&s3obs.PolicyOptions{
			Principals: append(aws, "arn:aws:iam::111122223333:user/a"), Prefix: "a/b/", Lock: true, ForceIfAbsent: true, ReadBack: true, Partition: "aws-cn",
		}, []s3obs.Role{s3obs.Writer}},
		"key": {&s3obs.PolicyOptions{KMSKeyARN: "arn:aws:kms:eu-de:111122223333:key/0123"}, []s3obs.Role{s3obs.Writer}},
		"obs": {&s3obs.PolicyOptions{Dialect: s3obs.DialectOBS, Principals: []string{"domain/0123:user/4567"}}, []s3obs.Role{s3obs.Writer, s3obs.Sealer}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s3obs.Policy("audit-trail", test.opts, test.roles...)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "policy", name+".json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPoliciesGiveNoMore looks at all combinations: nobody may delete or
// reconfigure, only sealers and writers put, and nothing is allowed everywhere.
func TestPoliciesGiveNoMore(t *testing.T) {
	reading := []string{"GetObject", "GetObjectVersion", "GetObjectRetention", "ListBucket", "ListBucketVersions"}
	checking := []string{"GetBucketVersioning", "GetEncryptionConfiguration", "GetBucketObjectLockConfiguration"}
	putting := []string{"PutObject", "AbortMultipartUpload"}
	for _, dialect := range []s3obs.Dialect{s3obs.DialectS3, s3obs.DialectOBS} {
		for set := 1; set < 8; set++ {
			var roles []s3obs.Role
			may := checking
			for i, role := range []s3obs.Role{s3obs.Writer, s3obs.Sealer, s3obs.Reader} {
				if set&(1<<i) != 0 {
					roles = append(roles, role)
				}
			}
			if set&3 != 0 {
				may = slices.Concat(may, putting)
			}
			if set&6 != 0 {
				may = slices.Concat(may, reading)
			}
			text, err := s3obs.Policy("audit-trail", &s3obs.PolicyOptions{Dialect: dialect, Principals: []string{"x"}}, roles...)
			if err != nil {
				t.Fatal(err)
			}
			var policy struct {
				Statement []struct {
					Sid, Effect      string
					Principal        any
					Action, Resource []string
					Condition        map[string]map[string]any
				}
			}
			if err := json.Unmarshal([]byte(text), &policy); err != nil {
				t.Fatal(err)
			}
			for _, s := range policy.Statement {
				if s.Principal == nil || len(s.Action) == 0 || len(s.Resource) == 0 {
					t.Errorf("%v: %s is not complete", roles, s.Sid)
				}
				for _, action := range s.Action {
					if s.Effect == "Allow" && !slices.Contains(may, strings.TrimPrefix(action, "s3:")) {
						t.Errorf("%v: %s allows %s", roles, s.Sid, action)
					}
				}
				for _, resource := range s.Resource {
					if s.Effect == "Allow" && strings.Contains(resource, "*") && !strings.Contains(resource, "/CloudTraces/") {
						t.Errorf("%v: %s is for %s", roles, s.Sid, resource)
					}
				}
			}
			if denied := strings.Contains(text, `"NoRemoval"`); denied != (set&3 != 0) {
				t.Errorf("%v: NoRemoval is there: %t", roles, denied)
			}
		}
	}
}

func TestPolicyFaults(t *testing.T) {
	for name, test := range map[string]struct {
		bucket string
		opts   *s3obs.PolicyOptions
		roles  []s3obs.Role
		faults int
	}{
		"no role":            {"audit-trail", nil, nil, 1},
		"unknown role":       {"audit-trail", nil, []s3obs.Role{0, 9}, 2},
		"bucket":             {"a/*", nil, []s3obs.Role{s3obs.Writer}, 1},
		"no slash":           {"audit-trail", &s3obs.PolicyOptions{Prefix: "a"}, []s3obs.Role{s3obs.Writer}, 1},
		"wildcard":           {"audit-trail", &s3obs.PolicyOptions{Prefix: "a*/"}, []s3obs.Role{s3obs.Writer}, 1},
		"root":               {"audit-trail", &s3obs.PolicyOptions{Prefix: "/"}, []s3obs.Role{s3obs.Writer}, 1},
		"variable":           {"audit-trail", &s3obs.PolicyOptions{Prefix: "${aws:username}/"}, []s3obs.Role{s3obs.Writer}, 1},
		"empty principal":    {"audit-trail", &s3obs.PolicyOptions{Principals: []string{""}}, []s3obs.Role{s3obs.Writer}, 1},
		"dialect":            {"audit-trail", &s3obs.PolicyOptions{Dialect: 9}, []s3obs.Role{s3obs.Writer}, 1},
		"OBS and AWS":        {"audit-trail", &s3obs.PolicyOptions{Dialect: s3obs.DialectOBS, ForceIfAbsent: true, KMSKeyARN: "k"}, []s3obs.Role{s3obs.Writer}, 3},
		"everything at once": {"", &s3obs.PolicyOptions{Prefix: "a"}, nil, 3},
	} {
		text, err := s3obs.Policy(test.bucket, test.opts, test.roles...)
		wantIs(t, name, err, obs.ErrInvalid)
		if text != "" || err != nil && strings.Count(err.Error(), "\n")+1 != test.faults {
			t.Errorf("%s: want %d faults, got:\n%v\n%s", name, test.faults, err, text)
		}
	}
	for role, want := range map[s3obs.Role]string{s3obs.Writer: "writer", s3obs.Sealer: "sealer", s3obs.Reader: "reader", 7: "role 7"} {
		if role.String() != want {
			t.Errorf("got %s, want %s", role, want)
		}
	}
}
