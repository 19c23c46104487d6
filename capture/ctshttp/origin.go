package ctshttp

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// What is kept of a claimed chain: its end that is nearer to this server.
const (
	maxForwarded      = 32 // addresses
	maxForwardedBytes = 64 // bytes of one
)

// invalidHop stands for a part of X-Forwarded-For that can't be an address.
const invalidHop = "invalid"

// origin tells where a request comes from.
func (o *Options) origin(r *http.Request) cts.Origin {
	if known, ok := cts.OriginFrom(r.Context()); ok {
		return known
	}
	claimed := forwardedFor(r.Header["X-Forwarded-For"])
	from := cts.Origin{ForwardedFor: claimed, UserAgent: r.UserAgent()}
	peer := hop(r.RemoteAddr)
	if !peer.IsValid() {
		return from
	}
	from.PeerIP = peer.String()
	if from.SourceIP = from.PeerIP; len(claimed) > 0 && len(o.TrustedProxies) > 0 {
		from.SourceIP = o.source(peer, claimed).String()
	}
	return from
}

// source goes back along the claimed chain as long as each address is that of a
// trusted proxy, whose word about the one before it counts. It ends at the first
// that is not trusted, or before one that is no address.
func (o *Options) source(peer netip.Addr, claimed []string) netip.Addr {
	at := peer
	for _, claim := range slices.Backward(claimed) {
		if !slices.ContainsFunc(o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(at) }) {
			break
		}
		before := hop(claim)
		if !before.IsValid() {
			break
		}
		at = before
	}
	return at
}

// forwardedFor returns the parts of X-Forwarded-For, nearest last.
func forwardedFor(headers []string) []string {
	var chain []string
	for _, header := range slices.Backward(headers) {
		for header != "" && len(chain) < maxForwarded {
			part := header
			if comma := strings.LastIndexByte(header, ','); comma >= 0 {
				header, part = header[:comma], header[comma+1:]
			} else {
				header = ""
			}
			if part = strings.Trim(part, " \t"); part != "" {
				chain = append(chain, claimedHop(part))
			}
		}
	}
	slices.Reverse(chain)
	return chain
}

// claimedHop is a part of the chain as it is recorded: what was sent, unless that is
// too long for an address or has other characters than one may have in logs.
func claimedHop(part string) string {
	if len(part) > maxForwardedBytes {
		return invalidHop
	}
	for _, c := range []byte(part) {
		if c <= ' ' || c > '~' {
			return invalidHop
		}
	}
	return part
}

// hop reads an address with or without a port and brackets. IPv4 addresses mapped
// into IPv6 become IPv4, zones are dropped. The result is invalid if s is none.
func hop(s string) netip.Addr {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone("")
	}
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
