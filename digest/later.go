package digest

import "fmt"

// Later moves the digest of the chain that is on its way into the bucket to a later end
// time, and so to another key: s must be the last that c was advanced by, and not be in
// the bucket. It is the way out when somebody else's object lies under its name. The
// digest is signed anew; the chain goes on behind it. When the error is not nil, c is as
// before.
func (c *Chain) Later(s *Sealed, signer *Signer, layout Layout, end Stamp) (*Sealed, error) {
	if c.Last == nil || c.Last.Head != s.Last.Head || end <= s.End {
		return nil, fmt.Errorf("%w: chain %.32s was not advanced by this digest, or it ends no later", ErrOutOfOrder, c.ID)
	}
	d, err := Read(s.Bytes)
	if err != nil {
		return nil, err
	}
	if d.Extension == nil || signer == nil {
		return nil, fmt.Errorf("%w: no digest of a chain, or no signer", ErrInvalid)
	}
	d.End, d.Object = end, layout.Key(c.ID, end)
	d.SignatureAlgorithm, d.Extension.KeyID = signer.Algorithm(), signer.KeyID()
	stored, err := d.encode()
	if err != nil {
		return nil, err
	}
	moved := *s
	if err := moved.sign(d, stored, signer); err != nil {
		return nil, err
	}
	last := moved.Last
	c.Last, c.Start = &last, end
	return &moved, nil
}
