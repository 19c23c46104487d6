// Package workload makes the traces that all contestants of the benchmark get. The
// same seed and count give the same traces, on every machine.
//
// # uniform
//
// Traces of 886 bytes whose values are drawn evenly: 300 names, 30 services, 80
// resource types, one resource id per 8 traces, 2,000 users, 5,000 addresses,
// 94/5/1 % ratings, random UUIDs as trace and request ids, and two JSON texts of 100
// to 600 bytes as request and response. One follows the other in time; a million
// cover 14 days. It is more random than a real trail: gzip -6 leaves 196 bytes of one.
//
// # trail
//
// Traces as real trails have them, after measurements on CloudTrail and Kubernetes
// audit logs: few services, names and users do most of the work (Zipf), sessions,
// bursts, late and disordered arrival, an object per operation that is either new or
// was seen lately, bodies of very different sizes, a few of them huge. zstd -3
// compresses it 8 to 14 times. [Profile.Check] holds every figure with its tolerance.
//
// # Files
//
// [Files] reads real traces: AWS CloudTrail and CTS.
//
// In every workload a user's id and name stand in a one to one relation, so that
// "user" means the same to a contestant that indexes one of them.
package workload
