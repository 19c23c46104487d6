package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/digest"
)

// keyLine returns what a command printed behind a name.
func keyLine(t *testing.T, out, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` +(.+)$`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no %q in:\n%s", name, out)
	}
	return found[1]
}

// The whole life of keys, as a user goes it: made, added, published, retired, revoked.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	root := w.cts(t, "", "keygen", "$W/rootkey")
	fingerprint := keyLine(t, root.out, "fingerprint")
	const key = `--root-key $W/rootkey/private.pem `
	const object = "bucket/CloudTraces/eu-de/Keys/keys.json"
	w.script(t, []step{
		{"keys add " + key + "--from 2024-06-19T08:00 $W/keys.json $W/public.pem", exitClean, `^root +` + fingerprint + `\nserial +1\n.*Ed25519 +2024-06-19T08:00:00Z +- +in use\n$`, ""},
		{"verify --root " + fingerprint + " $W/bucket", exitFailed, `not checked`, `no root in the bucket has a key history`},
		{"keys publish $W/keys.json $W/bucket", exitClean, `published +CloudTraces/eu-de/Keys/keys.json\nserial +1\nverify with +--root ` + fingerprint + ` --min-history 1\n$`, ""},
		{"keys publish $W/keys.json $W/bucket", exitClean, "published", ""},
		{"verify --root " + strings.ToUpper(fingerprint) + " --min-history 1 $W/bucket", exitClean, `verdict: clean`, ""},

		{"keys add " + key + "$W/keys.json $W/other.pem", exitClean, `serial +2\n`, ""},
		{"keys add " + key + "$W/keys.json $W/other.pem", exitFailed, "", `is in the history already`},
		{"keys retire " + key + "--until 2024-06-19T20:00 $W/keys.json $W/public.pem", exitClean, `serial +3\n.*2024-06-19T20:00:00Z  retired`, ""},
		{"verify --root " + fingerprint + " --min-history 3 $W/bucket", exitFound, `damage: keys-invalid`, ""},
		{"keys publish --region eu-de --root " + fingerprint + " $W/keys.json $W/bucket", exitClean, `serial +3`, ""},
		{"verify --root " + fingerprint + " --min-history 3 $W/bucket", exitClean, `verdict: clean`, ""},
		{"keys show --root " + fingerprint + " $W/keys.json", exitClean, `serial +3\n`, ""},
		{"keys show $W/" + object, exitClean, `^root +` + fingerprint + `\nserial +3\n`, ""},
	})
	third := w.read(t, "keys.json")
	public, err := digest.ParsePublicKeyPEM([]byte(w.read(t, "public.pem")))
	if err != nil {
		t.Fatal(err)
	}
	w.script(t, []step{
		{"keys revoke " + key + "$W/keys.json " + public.ID(), exitClean, `serial +4\n.*revoked`, ""},
		{"keys revoke " + key + "$W/keys.json " + strings.Repeat("0", 32), exitFailed, "", `is not in the history`},
		{"keys revoke " + key + "$W/keys.json $W/none.pem", exitFailed, "", `none.pem`},
		{"verify --root " + fingerprint + " --key-history $W/keys.json $W/bucket", exitFound, `damage: key-invalid .*revoked`, ""},
		{"keys revoke " + key + "$W/keys.json a-file-whose-name-has-32-letters", exitFailed, "", `a-file-whose-name-has-32-letters: no such file|cannot find`},
		{"keys publish $W/keys.json $W/bucket", exitClean, `serial +4`, ""},
		{"verify --root " + fingerprint + " $W/bucket", exitFound, `damage: key-invalid .*revoked`, ""},
	})
	// An older history is not put back by mistake.
	w.write(t, "third.json", []byte(third))
	w.script(t, []step{
		{"keys publish $W/third.json $W/bucket", exitFailed, "", `has the serial 4, and this one 3.*--replace`},
		{"keys publish --replace $W/third.json $W/bucket", exitClean, `serial +3`, ""},
	})
	if w.read(t, object) != third {
		t.Error("it was not replaced")
	}
}

// What is not signed by the root key is refused everywhere, and nothing is left changed.
func TestKeysRefused(t *testing.T) {
	w := newWorld(t)
	w.cts(t, "", "keygen", "$W/rootkey")
	other := keyLine(t, w.cts(t, "", "keygen", "$W/elsewhere").out, "fingerprint")
	w.script(t, []step{{"keys add --root-key $W/rootkey/private.pem $W/keys.json $W/public.pem", exitClean, "*", ""}})
	before := w.read(t, "keys.json")
	w.write(t, "changed.json", bytes.Replace([]byte(before), []byte(`"serial":1`), []byte(`"serial":2`), 1))
	w.write(t, "garbage", []byte("garbage"))
	if err := os.Mkdir(w.path("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.script(t, []step{
		{"keys add --root-key $W/elsewhere/private.pem $W/keys.json $W/other.pem", exitFailed, "", `keys.json: .*another root key`},
		{"keys add --root-key $W/rootkey/public.pem $W/keys.json $W/other.pem", exitFailed, "", `public.pem: .*want "PRIVATE KEY"`},
		{"keys add --root-key $W/rootkey/private.pem $W/keys.json $W/rootkey/private.pem", exitFailed, "", `private.pem: .*want "PUBLIC KEY"`},
		{"keys add --root-key $W/rootkey/private.pem $W/keys.json $W/rootkey/public.pem", exitFailed, "", `root key must not sign digests`},
		{"keys add --root-key $W/rootkey/private.pem $W/changed.json $W/other.pem", exitFailed, "", `signature does not match`},
		{"keys add --root-key $W/rootkey/private.pem $W/garbage $W/other.pem", exitFailed, "", `garbage: `},
		{"keys add --root-key $W/rootkey/private.pem $W/none/keys.json $W/other.pem", exitFailed, "", `none`},
		{"keys retire --root-key $W/rootkey/private.pem $W/none.json $W/other.pem", exitFailed, "", `none.json`},
		{"keys retire --root-key $W/rootkey/private.pem --until 2001-01-01 $W/keys.json $W/public.pem", exitFailed, "", `is in use from`},
		{"keys show $W/changed.json", exitFound, "", `signature does not match`},
		{"keys show --root " + other + " $W/keys.json", exitFound, "", `another root key`},
		{"keys show $W/garbage", exitFailed, "", `garbage: `},
		{"keys publish $W/changed.json $W/bucket", exitFailed, "", `signature does not match`},
		{"keys publish --root " + other + " $W/keys.json $W/bucket", exitFailed, "", `another root key`},
		{"keys publish $W/keys.json $W/empty", exitFailed, "", `nothing was dumped into the bucket yet`},
		{"keys publish $W/keys.json $W/nowhere", exitFailed, "", `nowhere`},
		{"keys publish --region ../up $W/keys.json $W/empty", exitFailed, "", `want REGION`},
	})
	if w.read(t, "keys.json") != before {
		t.Error("the history was changed")
	}
	if left, err := os.ReadDir(w.path("empty")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	w.script(t, []step{{"keys publish --region eu-nl $W/keys.json $W/empty", exitClean, `CloudTraces/eu-nl/Keys/keys.json`, ""}})
}
