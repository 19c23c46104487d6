// Package version tells the version of a library that is linked into the benchmark.
package version

import "runtime/debug"

// Of returns the version of a module, as go.mod pins it: "v1.2.3". It is "unknown" in
// a binary without build information.
func Of(module string) string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range b.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "unknown"
}
