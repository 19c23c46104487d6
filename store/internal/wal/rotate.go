package wal

// Rotate begins a new file, unless the one that is written to is empty or there never
// was one. Everything appended before is synced. After an error, which is that of Sync or of making the
// file, the log goes on as after an append that failed.
func (l *Log) Rotate() error {
	if err := l.Sync(); err != nil {
		return err
	}
	switch {
	case l.file == nil && l.number.Load() == 0, l.file != nil && l.end == HeaderSize:
		return nil
	case l.file != nil:
		l.trim()
		l.file = nil
	}
	return withoutUncertain(l.open())
}
