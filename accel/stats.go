package accel

// StatKind says how a statistic's value changes.
type StatKind int

// The kinds of statistics.
const (
	StatCumulative StatKind = iota
	StatInstant
	StatPeak
	StatLinearHistogram
	StatLog2Histogram
)

// StatUnit is what a statistic counts in.
type StatUnit int

// The units of statistics.
const (
	UnitNone StatUnit = iota
	UnitBytes
	UnitSeconds
	UnitCycles
	UnitBoolean
)

// Stat is one statistic with its value: one number, or those of a histogram's
// buckets. The value is to be multiplied by Base to the power of Exponent.
type Stat struct {
	Name       string
	Kind       StatKind
	Unit       StatUnit
	Base       int // 10 or 2
	Exponent   int16
	BucketSize uint32 // of a linear histogram
	Values     []uint64
}

// StatSource is a VM or a vCPU that counts things. May be called with or
// without the VM lock.
type StatSource interface {
	Stats() ([]Stat, error)
}
