package segment

// Order holds the times and positions of the rows and both ways to number them.
type Order struct {
	rows      int
	first     uint64
	minTime   uint64
	times     sorted // empty: all are minTime
	records   frames // empty: each is the time
	rowOf     frames // empty: ordinals are rows
	ordinalOf frames
	positions sorted // empty: dense
}

// Order returns the times and positions. The first call reads and verifies them.
func (s *Segment) Order() (*Order, error) { return s.order.get(s.makeOrder) }

func (s *Segment) makeOrder() (*Order, error) {
	o := &Order{rows: s.Rows(), first: s.foot.info.FirstPosition, minTime: uint64(s.foot.info.MinTime)}
	for _, part := range []struct {
		kind   int
		frames *frames
		sorted *sorted
	}{
		{sectionTimes, nil, &o.times},
		{sectionRecords, &o.records, nil},
		{sectionRows, &o.rowOf, nil},
		{sectionOrdinals, &o.ordinalOf, nil},
		{sectionPositions, nil, &o.positions},
	} {
		b, err := s.section(part.kind, 0)
		if err != nil {
			return nil, err
		}
		ok := true
		switch {
		case b == nil:
		case part.sorted != nil:
			*part.sorted, ok = parseSorted(b, o.rows)
		default:
			*part.frames, ok = parseFrames(b, o.rows)
		}
		if !ok {
			return nil, s.malformed(part.kind, 0)
		}
	}
	return o, nil
}

// Time returns the time of a row. It never descends from row to row.
func (o *Order) Time(row uint32) int64 { return int64(o.minTime + o.times.value(int(row))) }

// Record returns the record time of a row.
func (o *Order) Record(row uint32) int64 { return o.Time(row) + int64(o.records.value(int(row))) }

// Times returns the time and the record time of a row.
func (o *Order) Times(row uint32) (time, record int64) {
	time = o.Time(row)
	return time, time + int64(o.records.value(int(row)))
}

// Late returns by how much the record time of a row is later than its time.
func (o *Order) Late(row uint32) int64 { return int64(o.records.value(int(row))) }

// Position returns the position of a row.
func (o *Order) Position(row uint32) uint64 { return o.PositionAt(o.Ordinal(row)) }

// PositionAt returns the position of an ordinal. It ascends from ordinal to ordinal.
func (o *Order) PositionAt(ordinal uint32) uint64 {
	if o.positions.n == 0 {
		return o.first + uint64(ordinal)
	}
	return o.first + o.positions.value(int(ordinal))
}

// Row returns the row of an ordinal.
func (o *Order) Row(ordinal uint32) uint32 {
	return o.clamp(ordinal + uint32(o.rowOf.value(int(ordinal))))
}

// Ordinal returns the ordinal of a row.
func (o *Order) Ordinal(row uint32) uint32 {
	return o.clamp(row + uint32(o.ordinalOf.value(int(row))))
}

// clamp keeps what bytes made to deceive say within the segment.
func (o *Order) clamp(i uint32) uint32 {
	if i >= uint32(o.rows) {
		return uint32(o.rows - 1)
	}
	return i
}

// SearchTime returns the first row whose time is at least t, and the number of rows
// if there is none.
func (o *Order) SearchTime(t int64) int {
	if t <= int64(o.minTime) {
		return 0
	}
	if o.times.n == 0 {
		return o.rows
	}
	return o.times.search(uint64(t) - o.minTime)
}

// SearchPosition returns the first ordinal whose position is at least pos, and the
// number of rows if there is none.
func (o *Order) SearchPosition(pos uint64) int {
	if pos <= o.first {
		return 0
	}
	if o.positions.n == 0 {
		return int(min(uint64(o.rows), pos-o.first))
	}
	return o.positions.search(pos - o.first)
}

// orderData is the order of the rows of a segment that is being written.
type orderData struct {
	rowOf     []uint32 // nil: ordinals are rows
	ordinalOf []uint32
	times     func(row int) int64
	records   func(row int) int64
	positions func(ordinal int) uint64
}

// write writes the sections that say something and fills in the totals.
func (d *orderData) write(o *output, info *Info) {
	n := info.Rows
	info.FirstPosition, info.LastPosition = d.positions(0), d.positions(n-1)
	info.MinTime, info.MaxTime = d.times(0), d.times(n-1)
	info.MinRecord, info.MaxRecord = d.records(0), d.records(0)
	same := true
	for row := range n {
		r := d.records(row)
		info.MinRecord, info.MaxRecord = min(info.MinRecord, r), max(info.MaxRecord, r)
		same = same && r == d.times(row)
	}
	if info.MaxTime != info.MinTime {
		o.section(sectionTimes, 0, encodeSorted(n, func(row int) uint64 { return uint64(d.times(row)) - uint64(info.MinTime) }))
	}
	if !same {
		o.section(sectionRecords, 0, encodeFrames(n, func(row int) int64 { return d.records(row) - d.times(row) }))
	}
	if d.rowOf != nil {
		o.section(sectionRows, 0, encodeFrames(n, func(i int) int64 { return int64(d.rowOf[i]) - int64(i) }))
		o.section(sectionOrdinals, 0, encodeFrames(n, func(i int) int64 { return int64(d.ordinalOf[i]) - int64(i) }))
	}
	if info.LastPosition-info.FirstPosition != uint64(n-1) {
		o.section(sectionPositions, 0, encodeSorted(n, func(i int) uint64 { return d.positions(i) - info.FirstPosition }))
	}
}
