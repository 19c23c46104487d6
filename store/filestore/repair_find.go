package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// This file finds out what is wrong with everything but the segments.

// findID finds out which store this is.
func (r *repair) findID() error {
	n, err := r.dir.readIdentity(true)
	named := r.namedIDs()
	if errors.Is(err, errNoStore) && len(named) == 0 {
		return fmt.Errorf("%s: %w: %w", r.dir.root, errNoStore, fs.ErrNotExist)
	}
	if err != nil && !errors.Is(err, cts.ErrCorrupt) && !errors.Is(err, errNoStore) {
		return err
	}
	wanted := r.opts.StoreID
	if wanted == "" && err == nil && (len(named) == 0 || named[n.id] != "") {
		wanted = n.id.String()
	}
	if wanted == "" && err != nil && len(named) == 1 {
		for id := range named {
			wanted = id.String()
		}
	}
	if wanted == "" {
		return r.unknownID(n, err, named)
	}
	if r.id, err = parseID(wanted); err != nil {
		return err
	}
	r.report.StoreID = wanted
	if n.id == r.id {
		r.identity = n
		return nil
	}
	_, reason := r.dir.readIdentity(true)
	if reason == nil {
		reason = fmt.Errorf("it is that of store %s", n.id)
	}
	r.did(RepairRemade, identityName, 0, reason)
	r.copies = append(r.copies, identityName)
	return nil
}

func (r *repair) unknownID(n identity, damage error, named map[uuid.UUID]string) error {
	var ids []string
	for id, file := range named {
		ids = append(ids, fmt.Sprintf("%s in %s", id, file))
	}
	slices.Sort(ids)
	if damage == nil {
		ids = append([]string{fmt.Sprintf("%s in %s", n.id, identityName)}, ids...)
	}
	return &cts.CorruptionError{File: identityName, Err: fmt.Errorf(
		"which store this is can't be told; give the id as RepairOptions.StoreID; ids that are named: %s", strings.Join(append(ids, "none else"), ", "))}
}

// namedIDs returns the ids that intact files name, each with one of these.
func (r *repair) namedIDs() map[uuid.UUID]string {
	named := map[uuid.UUID]string{}
	if b, err := vfs.ReadFile(r.dir.fs, r.dir.path(manifestName), maxManifest); err == nil {
		if m, err := parseManifest(b); err == nil {
			named[m.id] = manifestName
		}
	}
	numbers, err := wal.List(r.dir.fs, r.dir.path(logName))
	if err != nil {
		return named
	}
	for _, number := range numbers {
		name := logName + "/" + wal.FileName(number)
		f, err := r.dir.fs.OpenFile(r.dir.path(name), 0, 0)
		if err != nil {
			continue
		}
		b := make([]byte, wal.HeaderSize)
		_, err = f.ReadAt(b, 0)
		if h, herr := wal.ParseHeader(b); errors.Join(err, herr, f.Close()) == nil && h.Number == number {
			named[uuid.UUID(h.Store)] = name
		}
	}
	return named
}

// findManifest reads MANIFEST, or finds that it has to be made anew.
func (r *repair) findManifest() error {
	m, found, err := r.dir.readManifest(r.id)
	var damage *cts.CorruptionError
	switch {
	case errors.As(err, &damage):
		r.remade = true
		r.copies = append(r.copies, manifestName)
		r.did(RepairRemade, manifestName, 0, damage)
		return nil
	case err != nil || found:
		r.manifest, r.found = m, found
		return err
	}
	r.manifest = m
	// Without a manifest the log begins with the first trace, and segment files are
	// of a sealing that was not finished.
	log := recovery{dir: r.dir, id: wal.StoreID(r.id), dry: true}
	err = log.openLog()
	if err == nil {
		err = log.checkManifest(false)
	}
	if err = errors.Join(err, log.closeFiles()); errors.As(err, &damage) {
		r.remade = true
		r.did(RepairRemade, manifestName, 0, damage)
		return nil
	}
	return err
}

// examineLog reads the log as opening does, and changes nothing.
func (r *repair) examineLog() error {
	log := recovery{dir: r.dir, id: wal.StoreID(r.id), dry: true, manifest: r.manifest}
	log.index.oldest, log.index.last, log.index.sealedTo = r.manifest.oldest, r.manifest.next-1, r.manifest.next
	log.index.holes = slices.Clone(r.manifest.lost)
	err := log.openLog()
	if err == nil {
		err = log.readLog()
	}
	if err := errors.Join(err, log.closeFiles()); err != nil {
		return err
	}
	if log.found.MarkLost {
		_, reason := wal.ReadMark(r.dir.fs, r.dir.path(markName), wal.StoreID(r.id))
		r.did(RepairRemade, markName, 0, reason)
		if _, err := r.dir.fs.Stat(r.dir.path(markName)); err == nil {
			r.copies = append(r.copies, markName)
		}
	}
	byFile := map[string]error{}
	for _, d := range log.found.Damaged {
		byFile[d.Error.File] = errors.Join(byFile[d.Error.File], d.Error)
	}
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		r.seal = true
		r.did(RepairSealed, file, 0, byFile[file])
	}
	traces := int64(log.index.count)
	for _, s := range r.manifest.segments {
		traces += int64(s.rows)
	}
	for _, p := range r.pieces {
		traces += p.rows
	}
	r.tellLost(traces, r.manifest.oldest, log.index.holes)
	return nil
}

// examineConsumers reads CONSUMERS.
func (r *repair) examineConsumers() error {
	b, err := vfs.ReadFile(r.dir.fs, r.dir.path(consumersName), maxConsumers)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if _, err = parseConsumers(b, r.id.String()); err == nil || errors.Is(err, cts.ErrVersion) {
			return err
		}
	} else if !errors.Is(err, vfs.ErrTooLarge) {
		return err
	}
	r.consumers = map[string]cts.Position{repairedConsumer: 0}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "consumer" && cts.CheckStateName(words[1]) == nil {
			r.consumers[words[1]] = 0
		}
	}
	r.copies = append(r.copies, consumersName)
	r.did(RepairHeld, consumersName, 0, err)
	return nil
}

// examineStates reads the states.
func (r *repair) examineStates() error {
	entries, err := r.dir.fs.ReadDir(r.dir.path(stateName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), stateSuffix)
		if !ok || vfs.IsTemp(e.Name()) || cts.CheckStateName(name) != nil {
			continue
		}
		b, err := vfs.ReadFile(r.dir.fs, r.dir.path(stateFile(name)), stateHeader+cts.MaxStateBytes)
		if err == nil {
			_, _, err = parseState(b, r.id, name)
		}
		switch {
		case err == nil:
		case errors.Is(err, errState), errors.Is(err, vfs.ErrTooLarge):
			r.moves = append(r.moves, stateFile(name))
			r.did(RepairRemoved, stateFile(name), 0, errors.New("the state is damaged"))
		default:
			return fmt.Errorf("state %q: %w", name, err)
		}
	}
	return nil
}
