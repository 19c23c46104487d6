package victorialogs

import "testing"

func TestUnderscored(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"disk7 of server":             "",
		"my_disk7":                    "disk7 my",
		`{"server_id":"a_b_a","x":1}`: "a b id server",
		"_":                           "",
		"naïve_字节, plain":             "naïve 字节",
		"a_b a_b":                     "a b",
	} {
		if got := underscored(text); got != want {
			t.Errorf("underscored(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestClockTellsEqualTimesApart(t *testing.T) {
	c := clock{used: map[int64]int32{}}
	var got []int64
	for _, ms := range []int64{5, 5, 3, 5} {
		ns, err := c.at(ms)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ns)
	}
	for i, want := range []int64{5_000_000, 5_000_001, 3_000_000, 5_000_002} {
		if got[i] != want {
			t.Errorf("trace %d at %d, want %d", i, got[i], want)
		}
	}
	c.used[9] = 1e6
	if _, err := c.at(9); err == nil {
		t.Error("a millisecond took more than a million traces")
	}
}
