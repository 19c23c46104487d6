package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cloudtraceservice/cts/digest"
)

// The most bytes of the files that commands read as a whole.
const (
	maxKeyFile = 64 << 10
	maxHistory = 4 << 20
	maxHeads   = 64 << 20
	maxProof   = 32 << 20
	maxTrace   = 4 << 20
)

// readFile reads a whole file, or standard input if it is called "-".
func (p *program) readFile(path string, limit int64) ([]byte, error) {
	in := p.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read from
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes: it can't be what is meant", path, limit)
	}
	return content, nil
}

// readPublicKeys reads files with one public key each.
func (p *program) readPublicKeys(paths []string) ([]*digest.PublicKey, error) {
	keys := make([]*digest.PublicKey, 0, len(paths))
	var errs []error
	for _, path := range paths {
		text, err := p.readFile(path, maxKeyFile)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		key, err := digest.ParsePublicKeyPEM(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// readHeads reads files with heads of chains, one JSON object per line.
func (p *program) readHeads(paths []string) ([]digest.Head, error) {
	var heads []digest.Head
	var errs []error
	for _, path := range paths {
		content, err := p.readFile(path, maxHeads)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for n, line := range bytes.Split(content, []byte{'\n'}) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			var head digest.Head
			if err := json.Unmarshal(line, &head); err != nil {
				errs = append(errs, fmt.Errorf("%s, line %d: it is no head of a chain", path, n+1))
				continue
			}
			if err := head.Check(); err != nil {
				errs = append(errs, fmt.Errorf("%s, line %d: %w", path, n+1, err))
			}
			heads = append(heads, head)
		}
	}
	return heads, errors.Join(errs...)
}
