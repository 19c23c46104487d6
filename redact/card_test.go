package redact_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// cards are the numbers that the schemes and payment providers publish for tests.
var cards = map[string][]string{
	"Visa":             {"4111111111111111", "4012888888881881", "4242424242424242"},
	"Mastercard":       {"5555555555554444", "5105105105105100", "2223003122003222", "2720992593319364"},
	"American Express": {"378282246310005", "371449635398431", "341111111111111"},
	"Discover":         {"6011111111111117", "6011000990139424", "6445644564456445"},
	"Diners Club":      {"30569309025904", "38520000023237", "36227206271667", "36006666333344"},
	"JCB":              {"3530111333300000", "3566002020360505"},
	"UnionPay":         {"6200000000000005", "6205500000000000004"},
	"Maestro":          {"6759649826438453", "5018000000000009", "6304000000000000"},
	"Mir":              {"2200000000000004", "2204240198671838"},
}

func TestCardNumbers(t *testing.T) {
	r := newRedactor(t, nil)
	for scheme, numbers := range cards {
		for _, number := range numbers {
			last := number[len(number)-4:]
			masked := strings.Repeat("*", len(number)-4) + last
			for _, format := range []string{"%s", "card %s.", "%s, ok", "(%s)", "\n%s\n", "#%s/12", "é%sé", "no:%s", "%s- x", "- %s"} {
				in, want := fmt.Sprintf(format, number), fmt.Sprintf(format, masked)
				if out, found := r.Text(in); out != want || len(found) != 1 || found[0].Length != len(number) {
					t.Errorf("%s: %q became %q with %+v", scheme, in, out, found)
				}
			}
			for _, format := range []string{"x%s", "%sx", "1%s", "a-%s", "%s-1", "0.%s", "%s.5", "+%s", "_%s", "****%s", "%s****"} {
				in := fmt.Sprintf(format, number)
				if out, found := r.Text(in); out != in || found != nil {
					t.Errorf("%s: %q became %q with %+v", scheme, in, out, found)
				}
			}
		}
	}
}

func TestCardGroups(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		{"4111 1111 1111 1111", "**** **** **** 1111", []string{"card"}},
		{"4111-1111-1111-1111", "****-****-****-1111", []string{"card"}},
		{"3782 822463 10005", "**** ****** *0005", []string{"card"}},
		{"3056 930902 5904", "**** ****** 5904", []string{"card"}},
		{"6205 5000 0000 0000 004", "**** **** **** ***0 004", []string{"card"}},
		{"620550 0000000000004", "****** *********0004", []string{"card"}},
		{"12 4111 1111 1111 1111 123", "12 **** **** **** 1111 123", []string{"card"}},
		{"4111111111111111 378282246310005 12/30", "************1111 ***********0005 12/30", []string{"card", "card"}},
		{"2024-05-11 4111 1111 1111 1111", "2024-05-11 **** **** **** 1111", []string{"card"}},
		kept("4111 1111-1111 1111"), kept("4111  1111 1111 1111"), kept("41 11 11 11 11 11 11 11"), kept("4111-1111-1111-1111-1111"), kept("x-4111-1111-1111-1111"),
		kept("4111 1111 1111 1112"), kept("**** **** **** 4242 4242 4242 4242"), kept("1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6"),
	})
}

// TestNoCardNumbers names numbers that are long, and not cards.
func TestNoCardNumbers(t *testing.T) {
	check(t, newRedactor(t, nil).Text, []want{
		kept("1688990082523310002"),              // nanoseconds, right check digit, no issuer
		kept("0000000000000000"),                 // right check digit, no issuer
		kept("4111111111111112"),                 // wrong check digit
		kept("41111111111111111"),                // Visa with 17 digits
		kept("4222222222222"),                    // Visa with 13 digits, the form of telephone numbers
		kept("51111111111111118"),                // Mastercard with 17 digits
		kept("3782822463100050"),                 // American Express with 16 digits
		kept("20240511081245"),                   // a time
		kept("2024-05-11 08:12:45.4111111111"),   // a time with a fraction
		kept("+4915112345678 4915112345678"),     // telephone
		kept("41111111-1111-1111-1111-11111111"), // a UUID of digits
		kept("4111111111111111-1111-1111"),
		kept("41111111111111111111111111111111"), // a hash of digits
		kept("4111111111111111abcdef"),
		kept("192.168.4111111111111111"),
		kept("arn:aws:iam::411111111111:user"),
	})
	check(t, newRedactor(t, nil).JSON, []want{
		kept(`[1688990082523310002,4111111111111112,4111111111111111e1,4111111111111111.0,"411111111111"]`),
	})
}

// TestRandomNumbers asserts that the check is as sharp as it says: of the numbers of 16
// random digits about a fortieth has a right check digit and the prefix of an issuer.
func TestRandomNumbers(t *testing.T) {
	r := newRedactor(t, nil)
	rnd := rand.New(rand.NewPCG(5, 6))
	const n = 40000
	hits := 0
	for range n {
		if _, found := r.Text(fmt.Sprintf("%016d", rnd.Int64N(1e16))); len(found) > 0 {
			hits++
		}
	}
	if hits < n/60 || hits > n/30 {
		t.Errorf("%d of %d random numbers taken for cards", hits, n)
	}
}
