//go:build !unix

package dirobs

import "io/fs"

// fileNumber returns nothing: a description of a file has no number here.
func fileNumber(fs.FileInfo) string { return "" }
