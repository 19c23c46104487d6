package segment

import "slices"

// orderCursor reads what an Order says of rows that are asked for one behind the other:
// it unpacks 128 of them at a time.
type orderCursor struct {
	order   *Order
	times   block
	records block
	rows    block
}

// block is what was unpacked last.
type block struct {
	number int // -1: none
	values []uint64
}

func newOrderCursor(o *Order) orderCursor {
	return orderCursor{order: o, times: block{number: -1}, records: block{number: -1}, rows: block{number: -1}}
}

// time, record and ordinal are Time, Record and Ordinal of the Order.
func (c *orderCursor) time(row uint32) int64 {
	if c.order.times.n == 0 {
		return int64(c.order.minTime)
	}
	return int64(c.order.minTime + c.times.sorted(&c.order.times, int(row)))
}

func (c *orderCursor) record(row uint32) int64 {
	if c.order.records.n == 0 {
		return c.time(row)
	}
	return c.time(row) + int64(c.records.frames(&c.order.records, int(row)))
}

func (c *orderCursor) ordinal(row uint32) uint32 {
	if c.order.ordinalOf.n == 0 {
		return row
	}
	return c.order.clamp(row + uint32(c.rows.frames(&c.order.ordinalOf, int(row))))
}

// sorted returns value i of an array.
func (b *block) sorted(s *sorted, i int) uint64 {
	if n := i / runRows; n != b.number {
		base, bit, low := s.block(n)
		b.begin(n, min(runRows, s.n-n*runRows))
		r := newRunReader(s.data, bit, len(b.values)-1, low)
		b.values[0] = base
		for k := range b.values[1:] {
			b.values[k+1] = base + r.next()
		}
	}
	return b.values[i%runRows]
}

// frames returns value i of an array.
func (b *block) frames(f *frames, i int) uint64 {
	if n := i / runRows; n != b.number {
		base, bit, width := f.block(n)
		b.begin(n, min(runRows, f.n-n*runRows))
		for k := range b.values {
			b.values[k] = base + readBits(f.data, bit, width)
			bit += uint64(width)
		}
	}
	return b.values[i%runRows]
}

func (b *block) begin(number, n int) {
	b.number = number
	b.values = slices.Grow(b.values[:0], runRows)[:n]
}

// mergeTimes finds the order of all rows.
func (m *merger) mergeTimes() {
	apart := true
	for i, s := range m.segs[1:] {
		apart = apart && s.foot.info.MinTime >= m.segs[i].foot.info.MaxTime
	}
	if apart {
		return
	}
	m.source = make([]uint32, 0, m.info.Rows)
	type head struct {
		seg  int
		row  uint32
		time int64
	}
	heads := make([]head, len(m.segs))
	for i := range m.orders {
		o := &m.orders[i]
		heads[i] = head{i, 0, o.time(0)}
	}
	for len(heads) > 0 {
		// The earliest head, and the earliest of the others. Of equal times that of
		// the earlier segment comes first, since its positions are lower.
		first, second := 0, -1
		for i := 1; i < len(heads); i++ {
			switch {
			case heads[i].time < heads[first].time:
				first, second = i, first
			case second < 0 || heads[i].time < heads[second].time:
				second = i
			}
		}
		h := &heads[first]
		rows := uint32(m.bases[h.seg+1] - m.bases[h.seg])
		for {
			m.source = append(m.source, uint32(m.bases[h.seg])+h.row)
			if h.row++; h.row == rows {
				heads = slices.Delete(heads, first, first+1)
				break
			}
			h.time = m.orders[h.seg].time(h.row)
			if second >= 0 && (h.time > heads[second].time || h.time == heads[second].time && first > second) {
				break
			}
		}
	}
}

func (m *merger) writeOrder(o *output) error {
	ordinalOf := make([]uint32, m.info.Rows)
	identity := true
	for row := range ordinalOf {
		g := m.global(row)
		s := m.segment(g)
		ordinalOf[row] = uint32(m.bases[s]) + m.orders[s].ordinal(uint32(g-m.bases[s]))
		identity = identity && ordinalOf[row] == uint32(row)
	}
	at := func(row int) (*orderCursor, uint32) {
		g := m.global(row)
		s := m.segment(g)
		return &m.orders[s], uint32(g - m.bases[s])
	}
	d := orderData{
		times:   func(row int) int64 { o, r := at(row); return o.time(r) },
		records: func(row int) int64 { o, r := at(row); return o.record(r) },
		positions: func(i int) uint64 {
			s := m.segment(i)
			return m.orders[s].order.PositionAt(uint32(i - m.bases[s]))
		},
	}
	if err := m.checkOrder(&d, ordinalOf); err != nil {
		return err
	}
	if !identity {
		d.ordinalOf, d.rowOf = ordinalOf, inverse(ordinalOf)
	}
	d.write(o, &m.info)
	return o.err
}

// checkOrder makes sure that what the segments say of their rows can be written.
func (m *merger) checkOrder(d *orderData, ordinalOf []uint32) error {
	wrong := func(row int) error {
		return m.segs[m.segment(m.global(row))].damage(headerSize, 1, "rows are not in order of time and position")
	}
	seen := make([]bool, len(ordinalOf))
	seen[ordinalOf[0]] = true
	time, position := d.times(0), d.positions(0)
	for row := 1; row < len(ordinalOf); row++ {
		nextTime, nextPosition := d.times(row), d.positions(row)
		if seen[ordinalOf[row]] || nextTime < time || nextPosition <= position {
			return wrong(row)
		}
		seen[ordinalOf[row]] = true
		time, position = nextTime, nextPosition
	}
	return nil
}
