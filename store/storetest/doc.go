// Package storetest checks that an implementation of [cts.Store] keeps everything
// that the comments of the interfaces promise: [cts.Appender], [cts.Reader],
// [cts.Log], [cts.Store], and [cts.StateStore], [cts.Verifier], [cts.Aggregator],
// [cts.Follower], [cts.Consumers] and [cts.Retainer] where the store has these
// abilities.
//
// A test of a store is one call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) storetest.Harness {
//			return storetest.Harness{Store: mystore.New()}
//		})
//	}
//
// Every case is a subtest. When one fails, it says which sentence of the contract
// was broken, why the sentence is there, and where the case is written. After each
// case the store is verified, if it can be, and closed.
//
// [Differential] compares a store with store/memstore over random operations; Run
// calls it too. [RunBenchmarks] measures a store in the same way as the others
// are, and [Traces] makes the traces that all of these work on.
package storetest
