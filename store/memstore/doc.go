// Package memstore keeps traces in memory: a slice, an id map and
// [cts.Query.Match], bounded. It is the oracle that other stores are compared
// with, and a fair store for tests and for small services whose traces are dumped
// soon. A kill loses everything that was not dumped.
//
// An append copies the JSON of a trace and reads no more of it than the id and the
// times. A query parses every trace in its time range until its limit is reached:
// its time grows with that range, not with the answer.
package memstore
