package parquet

// SetSizes sets the sizes of the files to be written.
func (db *DB) SetSizes(fileRows, groupRows, pageBytes int) {
	db.sizes = sizes{fileRows, groupRows, pageBytes}
}
