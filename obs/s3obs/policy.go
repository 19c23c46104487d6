package s3obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
)

// Role is what a process does with a bucket. A process with several roles gets
// them together from one call of [Policy].
type Role int

const (
	// Writer puts trace files, and neither reads nor lists.
	Writer Role = iota + 1

	// Sealer reads and lists trace files, and puts digests.
	Sealer

	// Reader reads and lists trace files and digests.
	Reader
)

// String returns "writer", "sealer" or "reader".
func (r Role) String() string {
	switch r {
	case Writer:
		return "writer"
	case Sealer:
		return "sealer"
	case Reader:
		return "reader"
	}
	return fmt.Sprintf("role %d", int(r))
}

// Dialect is a language of policies.
type Dialect int

const (
	// DialectS3 is the one of AWS S3, MinIO, Ceph and versitygw.
	DialectS3 Dialect = iota

	// DialectOBS is the one of bucket policies of Huawei OBS.
	DialectOBS
)

// PolicyOptions are the choices of [Policy].
type PolicyOptions struct {
	// Principals are who gets the rights. With them the policy is one for the bucket;
	// without, one for a user, group or role. They are written as the dialect wants:
	// ARNs such as "arn:aws:iam::111122223333:role/app", for OBS
	// "domain/ACCOUNT_ID:user/USER_ID", or "*" alone.
	// Default: nil, a policy without principal.
	Principals []string

	// Prefix is the beginning of all keys, with the slash at its end.
	// Default: "CloudTraces/".
	Prefix string

	// ReadBack lets a Writer read what it wrote: for stores that answer no checksum
	// (Report.Checksum), and to meet its own earlier objects again.
	// Default: false.
	ReadBack bool

	// Lock lets a Writer and Sealer lock what they put: it is needed with
	// Options.Lock.
	// Default: false, the bucket's default retention locks.
	Lock bool

	// ForceIfAbsent denies every put without `If-None-Match`, so that nothing can be
	// replaced. Of the stores here only AWS S3 knows the condition; others refuse
	// the policy.
	// Default: false.
	ForceIfAbsent bool

	// KMSKeyARN is the key of objects that are encrypted with it. A bucket policy
	// can't grant its use, so it shows in policies without principal only; with one,
	// grant it in the policy of the key.
	// Default: "", none.
	KMSKeyARN string

	// Partition is the AWS partition of the ARNs, such as "aws-cn".
	// Default: "aws".
	Partition string

	// Dialect is the language of the policy.
	// Default: DialectS3.
	Dialect Dialect
}

const defaultPrefix = "CloudTraces/"

// Policy returns the rights that the roles need for the bucket, and no more, as an
// indented JSON document that ends with a line feed. For a Writer and a Sealer it
// denies, in so many words, to remove, to unlock and to reconfigure, so that a
// right given elsewhere does not bring these back; a Writer that is no Sealer is
// also denied to put digests. Nothing but ForceIfAbsent denies to replace an
// object: where a store does not know that, object lock keeps what is replaced as
// an earlier version. The same arguments give the same document.
//
// A bucket has one bucket policy: put the statements of several calls, for several
// principals, into one document. Who may set policies can undo all of this, and
// belongs to neither role.
//
// An unknown role, none, or a fault of the options is [obs.ErrInvalid].
func Policy(bucket string, opts *PolicyOptions, roles ...Role) (string, error) {
	p := policy{bucket: bucket, roles: roles}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Prefix == "" {
		p.opts.Prefix = defaultPrefix
	}
	if p.opts.Partition == "" {
		p.opts.Partition = "aws"
	}
	if err := p.validate(); err != nil {
		return "", err
	}
	p.grant()
	return p.encode()
}

// policy is one that is being written.
type policy struct {
	bucket     string
	opts       PolicyOptions
	roles      []Role
	statements []statement
}

type statement struct {
	Sid       string
	Effect    string
	Principal any `json:",omitempty"`
	Action    []string
	Resource  []string
	Condition map[string]map[string]any `json:",omitempty"`
}

func (p *policy) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("%w: "+format, append([]any{obs.ErrInvalid}, args...)...))
		}
	}
	fault(!validBucket(p.bucket), "the bucket's name %.80q is not 3 to 63 letters, digits, '.', '-' and '_'", p.bucket)
	fault(len(p.roles) == 0, "no role")
	for _, r := range p.roles {
		fault(r < Writer || r > Reader, "%s is not known", r)
	}
	prefix := strings.TrimSuffix(p.opts.Prefix, "/")
	fault(prefix == p.opts.Prefix || obs.ValidateKey(prefix) != nil || strings.ContainsAny(prefix, "*?$"),
		"Prefix %.80q is not the beginning of keys, with a slash at its end and without '*', '?' and '$'", p.opts.Prefix)
	fault(slices.Contains(p.opts.Principals, ""), "a principal is empty")
	fault(p.opts.Dialect != DialectS3 && p.opts.Dialect != DialectOBS, "Dialect %d is not known", p.opts.Dialect)
	if p.opts.Dialect == DialectOBS {
		fault(len(p.opts.Principals) == 0, "a bucket policy of OBS needs Principals")
		fault(p.opts.ForceIfAbsent, "OBS has no condition for ForceIfAbsent")
		fault(p.opts.KMSKeyARN != "", "KMSKeyARN is not for OBS: grant the key in IAM")
	}
	return errors.Join(faults...)
}

func (p *policy) has(r Role) bool { return slices.Contains(p.roles, r) }

func (p *policy) grant() {
	objects, digests := p.object("*"), p.object("*/Digest/*")
	puts := p.has(Writer) || p.has(Sealer)
	switch {
	case p.has(Writer):
		p.add("PutTraceFiles", "Allow", p.putting(), objects)
	case p.has(Sealer):
		p.add("PutDigests", "Allow", p.putting(), digests)
	}
	if p.has(Sealer) || p.has(Reader) {
		p.add("Read", "Allow", p.reading("GetObject", "GetObjectVersion"), objects)
		p.add("List", "Allow", []string{"ListBucket", "ListBucketVersions"}, p.object())
		p.when("StringLike", p.action("prefix"), []string{p.opts.Prefix + "*"})
	} else if p.opts.ReadBack {
		p.add("ReadBack", "Allow", p.reading("GetObject"), objects)
	}
	p.add("CheckBucket", "Allow", []string{"GetBucketVersioning", "GetEncryptionConfiguration", "GetBucketObjectLockConfiguration"}, p.object())
	if p.has(Writer) && !p.has(Sealer) {
		p.add("NoDigests", "Deny", []string{"PutObject"}, digests)
	}
	if puts {
		p.add("NoRemoval", "Deny", []string{"DeleteObject", "DeleteObjectVersion"}, p.all())
		if p.opts.Dialect == DialectS3 {
			p.add("NoUnlocking", "Deny", []string{"BypassGovernanceRetention"}, p.all())
		}
		p.add("NoReconfiguring", "Deny", []string{
			"DeleteBucket", "DeleteBucketPolicy", "PutBucketObjectLockConfiguration", "PutBucketPolicy", "PutBucketVersioning",
			"PutEncryptionConfiguration", "PutLifecycleConfiguration",
		}, p.object())
	}
	if puts && p.opts.ForceIfAbsent {
		p.add("NoReplacing", "Deny", []string{"PutObject"}, objects)
		p.when("Null", "s3:if-none-match", "true")
		p.when("Bool", "s3:ObjectCreationOperation", "true") // parts have no such header
	}
	p.grantKey()
}

func (p *policy) putting() []string {
	actions := []string{"PutObject", "AbortMultipartUpload"}
	if p.opts.Lock {
		actions = append(actions, "PutObjectRetention")
	}
	return actions
}

// reading shows locks too, so that an auditor sees them.
func (p *policy) reading(actions ...string) []string {
	if p.opts.Dialect == DialectS3 {
		actions = append(actions, "GetObjectRetention")
	}
	return actions
}

// grantKey lets the key be used through the store. Parts are decrypted to be put
// together.
func (p *policy) grantKey() {
	if p.opts.KMSKeyARN == "" || len(p.opts.Principals) > 0 {
		return
	}
	actions := []string{"kms:Decrypt"}
	if p.has(Writer) || p.has(Sealer) {
		actions = append(actions, "kms:GenerateDataKey")
	}
	p.statements = append(p.statements, statement{Sid: "UseKey", Effect: "Allow", Action: actions, Resource: []string{p.opts.KMSKeyARN}})
}

func (p *policy) add(sid, effect string, actions, resources []string) {
	s := statement{Sid: sid, Effect: effect, Resource: resources}
	for _, action := range actions {
		s.Action = append(s.Action, p.action(action))
	}
	switch principals := p.opts.Principals; {
	case len(principals) == 0:
	case p.opts.Dialect == DialectOBS:
		s.Principal = map[string][]string{"ID": principals}
	case len(principals) == 1 && principals[0] == "*":
		s.Principal = "*"
	default:
		s.Principal = map[string][]string{"AWS": principals}
	}
	p.statements = append(p.statements, s)
}

// when adds a condition to the last statement.
func (p *policy) when(operator, key string, value any) {
	s := &p.statements[len(p.statements)-1]
	if s.Condition == nil {
		s.Condition = map[string]map[string]any{}
	}
	s.Condition[operator] = map[string]any{key: value}
}

// action is the dialect's name of an action or condition key.
func (p *policy) action(name string) string {
	if p.opts.Dialect == DialectOBS {
		return name
	}
	return "s3:" + name
}

// object names objects below the prefix, or the bucket if no pattern is given.
func (p *policy) object(patterns ...string) []string {
	resources := []string{p.resource("")}
	if len(patterns) > 0 {
		resources = nil
	}
	for _, pattern := range patterns {
		resources = append(resources, p.resource("/"+p.opts.Prefix+pattern))
	}
	return resources
}

// all names every object of the bucket.
func (p *policy) all() []string { return []string{p.resource("/*")} }

func (p *policy) resource(path string) string {
	if p.opts.Dialect == DialectOBS {
		return p.bucket + path
	}
	return "arn:" + p.opts.Partition + ":s3:::" + p.bucket + path
}

func (p *policy) encode() (string, error) {
	document := struct {
		Version   string `json:",omitempty"`
		Statement []statement
	}{"2012-10-17", p.statements}
	if p.opts.Dialect == DialectOBS {
		document.Version = ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		return "", err
	}
	return b.String(), nil
}
