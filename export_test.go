package cts

// ParseAny is ParseTrace without its short way for canonical JSON.
func ParseAny(b []byte) (*Trace, error) {
	t := new(Trace)
	if err := parseAny(string(b), t); err != nil {
		return nil, err
	}
	return t, nil
}
