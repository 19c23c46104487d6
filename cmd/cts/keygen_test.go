package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/digest"
)

func TestKeygen(t *testing.T) {
	for name, algorithm := range map[string]string{
		"": digest.Ed25519, "ed25519": digest.Ed25519, "rsa-2048": digest.RSA,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{dir: t.TempDir()}
			args := []string{"keygen", "$W/new/keys"}
			if name != "" {
				args = append(args, "--algorithm", name)
			}
			got := w.cts(t, "", args...)
			if got.code != exitClean || got.errors != "" {
				t.Fatalf("%+v", got)
			}
			signer, err := digest.ParsePrivateKeyPEM([]byte(w.read(t, "new/keys/private.pem")))
			if err != nil {
				t.Fatal(err)
			}
			public, err := digest.ParsePublicKeyPEM([]byte(w.read(t, "new/keys/public.pem")))
			if err != nil {
				t.Fatal(err)
			}
			if public.ID() != signer.KeyID() || signer.Algorithm() != algorithm {
				t.Errorf("keys %s and %s, %s", public.ID(), signer.KeyID(), signer.Algorithm())
			}
			if !strings.Contains(got.out, "key id       "+public.ID()+"\n") || !strings.Contains(got.out, public.Fingerprint()) || strings.Contains(got.out, "BEGIN") {
				t.Errorf("output:\n%s", got.out)
			}
			if info, err := os.Stat(w.path("new/keys/private.pem")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("private.pem: %v, %v", info.Mode(), err)
			}
		})
	}
}

// Larger keys take a second each.
func TestKeygenLargeKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("large keys take their time")
	}
	for _, name := range []string{"rsa-3072", "rsa-4096"} {
		w := &world{dir: t.TempDir()}
		if got := w.cts(t, "", "keygen", "--algorithm", name, "$W"); got.code != exitClean {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Keys that are there stay, whichever of the two it is, and nothing is left half done.
func TestKeygenReplacesNothing(t *testing.T) {
	for _, there := range []string{privateFile, publicFile} {
		w := &world{dir: t.TempDir()}
		w.write(t, there, []byte("mine"))
		w.script(t, []step{{"keygen $W", exitFailed, "", there + " is there already"}})
		if w.read(t, there) != "mine" {
			t.Errorf("%s was replaced", there)
		}
		if left, err := os.ReadDir(w.dir); err != nil || len(left) != 1 {
			t.Errorf("%v, %v", left, err)
		}
	}
	w := &world{dir: t.TempDir()}
	w.write(t, "file", nil)
	w.script(t, []step{{"keygen $W/file/keys", exitFailed, "", "cts: .*file"}})
}
