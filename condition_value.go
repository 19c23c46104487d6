package cts

// MatchValue reports whether c, which must be a test of a field, accepts a trace whose
// field has the value v and no other. Stores use it to judge each value of a
// dictionary once instead of each trace; for a field that means any of several values
// (user, impersonator), [Condition.Match] is true if one that is not empty is
// accepted, or if all are empty and "" is.
func (c *Condition) MatchValue(v string) bool { return c.matchValue(v) }
