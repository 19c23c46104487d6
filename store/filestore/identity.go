package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

// Names within the directory of a store.
const (
	identityName   = "STORE"
	markName       = "MARK"
	holderName     = "LOCKED-BY"
	logName        = "log"
	segmentsName   = "segments"
	segmentSuffix  = ".seg"
	stateName      = "state"
	quarantineName = "quarantine"
)

const (
	formatVersion = 1 // what this release writes
	maxIdentity   = 4 << 10

	filePerm fs.FileMode = 0o600
	dirPerm  fs.FileMode = 0o700
)

// identity is what the file STORE says: which store this is and who can read it.
type identity struct {
	id      uuid.UUID
	version int // format version; a writer must know it
	reader  int // a reader must know at least this version
	created time.Time
}

const identityHead = "cts filestore"

// text returns the content of STORE:
//
//	cts filestore
//	version 1
//	reader 1
//	id 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17
//	created 2026-01-02T03:04:05.678Z
//	crc32c 0f1e2d3c
//
// The last line is the CRC-32C of the lines before. Every version begins and ends
// with these lines.
func (n identity) text() []byte {
	b := fmt.Appendf(nil, "%s\nversion %d\nreader %d\nid %s\ncreated %s\n", identityHead, n.version, n.reader, n.id,
		n.created.UTC().Format("2006-01-02T15:04:05.000Z"))
	return fmt.Appendf(b, "crc32c %08x\n", crc32c(b))
}

// parseIdentity reads the content of STORE. It does not judge the versions: of a
// newer one it returns what it can.
func parseIdentity(b []byte) (identity, error) {
	var n identity
	body, sum, ok := bytes.Cut(b, []byte("crc32c "))
	if !ok || string(sum) != fmt.Sprintf("%08x\n", crc32c(body)) {
		return n, errors.New("its checksum is wrong")
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if len(lines) < 3 || lines[0] != identityHead {
		return n, errors.New("it is not the file of a store")
	}
	var err error
	if n.version, err = number(lines[1], "version "); err != nil {
		return n, err
	}
	if n.reader, err = number(lines[2], "reader "); err != nil || n.reader > formatVersion {
		return n, err
	}
	if len(lines) < 5 || n.version == formatVersion && len(lines) > 5 {
		return n, errors.New("it has the wrong number of lines")
	}
	if n.id, err = parseID(strings.TrimPrefix(lines[3], "id ")); err != nil {
		return n, err
	}
	if n.created, err = time.Parse(time.RFC3339, strings.TrimPrefix(lines[4], "created ")); err != nil {
		return n, errors.New("its time of creation can't be read")
	}
	return n, nil
}

func number(line, name string) (int, error) {
	text, ok := strings.CutPrefix(line, name)
	v, err := strconv.Atoi(text)
	if !ok || err != nil || v < 1 || strconv.Itoa(v) != text {
		return 0, fmt.Errorf("it has no line %q with a number", strings.TrimSpace(name))
	}
	return v, nil
}

// parseID accepts a UUID in canonical form and nothing else.
func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.UUID{}, errors.New("the id of the store is not a UUID in canonical form")
	}
	return id, nil
}

// crc32c is the checksum of the small files.
func crc32c(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// errNoStore tells that there is nothing at all in the directory.
var errNoStore = errors.New("there is no store in the directory")

// finished fails with ErrIncomplete for a directory that is being made, or whose making
// was not finished.
func (d directory) finished() error {
	b, err := vfs.ReadFile(d.fs, d.path(incompleteName), maxIdentity)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && !errors.Is(err, vfs.ErrTooLarge):
		return fmt.Errorf("filestore: %w", err)
	}
	return fmt.Errorf("%w: %s", ErrIncomplete, printable(b[:min(len(b), 200)]))
}

// readIdentity reads STORE. It fails with errNoStore, with [cts.ErrVersion] for a
// store that this release can't use, and with a [*cts.CorruptionError].
func (d directory) readIdentity(write bool) (identity, error) {
	if err := d.finished(); err != nil {
		return identity{}, err
	}
	b, err := vfs.ReadFile(d.fs, d.path(identityName), maxIdentity)
	if errors.Is(err, fs.ErrNotExist) {
		lost := d.withoutIdentity()
		// Another process may be making the store, STORE before all else: if it is there
		// now, what was found without it was no sign of a loss.
		if b, err = vfs.ReadFile(d.fs, d.path(identityName), maxIdentity); errors.Is(err, fs.ErrNotExist) {
			return identity{}, lost
		}
	}
	switch {
	case errors.Is(err, vfs.ErrTooLarge):
		return identity{}, &cts.CorruptionError{File: identityName, Err: err}
	case err != nil:
		return identity{}, fmt.Errorf("filestore: %w", err)
	}
	n, err := parseIdentity(b)
	switch {
	case err != nil:
		return identity{}, &cts.CorruptionError{File: identityName, Err: fmt.Errorf(
			"%w; put it back from a backup, or call Repair, which makes it anew", err)}
	case n.reader > formatVersion:
		return identity{}, fmt.Errorf("filestore: %w: the store asks for readers of version %d, this release knows %d; use a newer release",
			cts.ErrVersion, n.reader, formatVersion)
	case n.version > formatVersion && write:
		return identity{}, fmt.Errorf("filestore: %w: the store has version %d, this release writes %d; use a newer release, or open it for reading",
			cts.ErrVersion, n.version, formatVersion)
	}
	return n, nil
}

// withoutIdentity tells an empty directory from a store that lost its STORE. A new
// one must not be made over that: its traces would seem to be gone.
func (d directory) withoutIdentity() error {
	for _, name := range []string{logName, segmentsName, stateName, quarantineName} {
		entries, err := d.fs.ReadDir(d.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("filestore: %w", err)
		}
		for _, e := range entries {
			if !vfs.IsTemp(e.Name()) {
				return d.lostIdentity(name + "/" + e.Name())
			}
		}
	}
	for _, name := range []string{markName, manifestName} {
		_, err := d.fs.Stat(d.path(name))
		if err == nil {
			return d.lostIdentity(name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("filestore: %w", err)
		}
	}
	return errNoStore
}

func (d directory) lostIdentity(found string) error {
	return &cts.CorruptionError{File: identityName, Err: fmt.Errorf(
		"it is missing, and there is %s; put it back from a backup, call Repair, which makes it anew, or move everything away to begin a new store", found)}
}

// create makes a new store in the directory, which is locked. STORE comes last and
// is durable before anything is written that would be lost without it.
func (d directory) create(o *Options) (identity, error) {
	id, err := parseID(o.NewID())
	if err != nil {
		return identity{}, fmt.Errorf("filestore: options: NewID: %w", err)
	}
	if err := d.makeFolders(); err != nil {
		return identity{}, err
	}
	if err := d.syncAncestors(); err != nil {
		return identity{}, err
	}
	n := identity{id: id, version: formatVersion, reader: formatVersion, created: o.Clock()}
	if err := vfs.WriteFileAtomic(d.fs, d.path(identityName), n.text(), filePerm); err != nil {
		return identity{}, fmt.Errorf("filestore: create the store: %w", storeFull(err))
	}
	return n, nil
}
