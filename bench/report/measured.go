package report

import _ "embed"

//go:embed measured.md
var measured string

// measured writes what the figures mean.
func (s *sink) measured() { s.printf("%s", measured) }
