package gzfiles

// SetFileTraces sets the number of traces of one file.
func (db *DB) SetFileTraces(n int) { db.traces = n }
