// Package vfstest has the file systems with which code over [vfs.FS] is tested
// for what it does when a disk fails, fills up or loses its power.
//
//   - [MemFS] holds files in memory and knows what is synced. CrashClone is the
//     disk after a power loss, KillClone the one after the process was killed.
//   - [FaultFS] wraps any file system, numbers its operations and makes chosen
//     ones fail, tear, or fail after they took effect.
//   - [LogFS] writes down what is done in which order, for golden tests.
//
// The usual test runs a scenario once for every n with the n-th operation
// failing, until a run meets no failure, and looks at the disk after each:
//
//	for n := 1; ; n++ {
//		mem := vfstest.NewMemFS()
//		fault := vfstest.NewFaultFS(mem)
//		fault.Set(vfstest.FailNth(n, syscall.EIO))
//		err := scenario(fault)
//		if fault.Hits() == 0 {
//			break // the scenario has fewer than n operations
//		}
//		if err == nil { … } // a failure was swallowed
//		check(mem.CrashClone(vfstest.CrashOptions{}))
//	}
package vfstest
