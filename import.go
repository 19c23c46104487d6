package cts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// ImportResult says what Import did.
type ImportResult struct {
	Stored   int             // new in the store
	Existing int             // there already, the same
	Failed   []ImportFailure // not stored, in order of index
}

// ImportFailure is one record that was not stored, and why.
type ImportFailure struct {
	Index int   // its index among the records given
	Err   error // why: ErrInvalidTrace, ErrIDConflict, ErrTooLarge
}

// Import stores records that were made elsewhere. Each has [Ext.Source] with the
// name of its source and its id there, from which its trace id is derived
// ([ImportedID]): importing a record twice changes nothing. A source that gives
// another record under the same id is an [ErrIDConflict] of that record; so may be the
// same record under other limits or another redactor. An ext.attempt_id names a record
// of the same source and is derived likewise. Records go through redaction and limits,
// not through the policy, and nothing is filled in from the context. They are durable when Import returns, in their order, whatever
// the Tracker's delivery.
//
// A record that can't be stored never fails its neighbours; it is in Failed. The
// error is about the store, or the context between two batches: then the result
// says what was done so far, and repeating the whole import is safe.
func (t *Tracker) Import(ctx context.Context, records []*Trace) (result ImportResult, err error) {
	if !t.gate.enter() {
		return result, ErrClosed
	}
	defer t.gate.leave()
	defer func() {
		slices.SortFunc(result.Failed, func(a, b ImportFailure) int { return a.Index - b.Index })
	}()
	var batch importBatch
	for i, record := range records {
		json, err := t.prepareImport(ctx, record)
		if err != nil {
			result.fail(i, err)
			continue
		}
		if batch.full(len(json)) {
			if err := t.importBatch(ctx, &batch, &result); err != nil {
				return result, err
			}
		}
		batch.add(i, json)
	}
	err = t.importBatch(ctx, &batch, &result)
	return result, err
}

func (r *ImportResult) fail(index int, err error) {
	r.Failed = append(r.Failed, ImportFailure{Index: index, Err: err})
}

// importBatch collects records for one append.
type importBatch struct {
	entries []Entry
	indexes []int
	bytes   int
}

func (b *importBatch) full(next int) bool {
	return len(b.entries) == batchTraces || len(b.entries) > 0 && b.bytes+next > batchBytes
}

func (b *importBatch) add(index int, json []byte) {
	b.entries = append(b.entries, Entry{JSON: json})
	b.indexes = append(b.indexes, index)
	b.bytes += len(json)
}

// split returns the records before i and those from j on.
func (b *importBatch) split(i, j int) (before, after importBatch) {
	return importBatch{entries: b.entries[:i], indexes: b.indexes[:i]}, importBatch{entries: b.entries[j:], indexes: b.indexes[j:]}
}

func (t *Tracker) prepareImport(ctx context.Context, record *Trace) ([]byte, error) {
	if record == nil {
		return nil, &FieldError{Field: "ext.source", Reason: "there is no record"}
	}
	if record.Ext.Source.Name == "" || record.Ext.Source.ID == "" {
		return nil, &FieldError{Field: "ext.source", Reason: "an imported record names its source and its id there"}
	}
	w := t.borrow()
	defer t.release(w)
	if _, err := t.prepare(ctx, w, record, imported); err != nil {
		return nil, err
	}
	return bytes.Clone(w.json), nil
}

// importBatch appends a batch, less the records that the store refuses, and empties
// it.
func (t *Tracker) importBatch(ctx context.Context, b *importBatch, result *ImportResult) error {
	if err := t.importEntries(ctx, *b, result); err != nil {
		return err
	}
	clear(b.entries)
	*b = importBatch{entries: b.entries[:0], indexes: b.indexes[:0]}
	return nil
}

// importEntries appends a batch. If the store refuses a record of it, what is before
// that and what is behind are batches of their own.
func (t *Tracker) importEntries(ctx context.Context, b importBatch, result *ImportResult) error {
	if len(b.entries) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	done, err := t.appendImport(ctx, b.entries)
	if err == nil {
		fresh := len(b.entries) - done.Existing
		result.Stored += fresh
		result.Existing += done.Existing
		t.stats.imported.Add(int64(fresh))
		t.stats.already.Add(int64(done.Existing))
		return nil
	}
	var conflict *ConflictError
	var before, after importBatch
	switch n := len(b.entries); {
	case errors.As(err, &conflict) && conflict.Index >= 0 && conflict.Index < n:
		index := b.indexes[conflict.Index]
		result.fail(index, &ConflictError{Index: index, ID: conflict.ID})
		before, after = b.split(conflict.Index, conflict.Index+1)
	case refused(err) && n > 1:
		before, after = b.split(n/2, n/2)
	case refused(err):
		result.fail(b.indexes[0], err)
		return nil
	default:
		t.failed(n, err)
		return fmt.Errorf("cts: importing %d records: %w", n, err)
	}
	if err := t.importEntries(ctx, before, result); err != nil {
		return err
	}
	return t.importEntries(ctx, after, result)
}

func (t *Tracker) appendImport(ctx context.Context, entries []Entry) (Appended, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.AppendTimeout)
	defer cancel()
	return t.store.Append(ctx, entries)
}
