package system

import (
	"math/bits"
	"reflect"

	"github.com/gqemu/gqemu/qapi"
)

type multifdCompression string

func (multifdCompression) QAPIName() string   { return "MultiFDCompression" }
func (multifdCompression) QAPIEnum() []string { return []string{"none", "zlib"} }

type migMode string

func (migMode) QAPIName() string   { return "MigMode" }
func (migMode) QAPIEnum() []string { return []string{"normal", "cpr-reboot"} }

// BitmapMigrationNodeAlias maps a block node's name to one of the stream's.
type BitmapMigrationNodeAlias struct {
	NodeName string                 `qapi:"node-name"`
	Alias    string                 `qapi:"alias"`
	Bitmaps  []BitmapMigrationAlias `qapi:"bitmaps"`
}

// BitmapMigrationAlias maps a bitmap's name to one of the stream's.
type BitmapMigrationAlias struct {
	Name      string                    `qapi:"name"`
	Alias     string                    `qapi:"alias"`
	Transform *BitmapMigrationTransform `qapi:"transform,optional"`
}

// BitmapMigrationTransform changes a bitmap on the way.
type BitmapMigrationTransform struct {
	Persistent *bool `qapi:"persistent,optional"`
}

// migrationNumbers are the parameters that reading and setting have in common.
type migrationNumbers struct {
	AnnounceInitial    *qapi.Size                 `qapi:"announce-initial,optional"`
	AnnounceMax        *qapi.Size                 `qapi:"announce-max,optional"`
	AnnounceRounds     *qapi.Size                 `qapi:"announce-rounds,optional"`
	AnnounceStep       *qapi.Size                 `qapi:"announce-step,optional"`
	CompressLevel      *uint8                     `qapi:"compress-level,optional,deprecated"`
	CompressThreads    *uint8                     `qapi:"compress-threads,optional,deprecated"`
	CompressWait       *bool                      `qapi:"compress-wait-thread,optional,deprecated"`
	DecompressThreads  *uint8                     `qapi:"decompress-threads,optional,deprecated"`
	ThrottleTrigger    *uint8                     `qapi:"throttle-trigger-threshold,optional"`
	ThrottleInitial    *uint8                     `qapi:"cpu-throttle-initial,optional"`
	ThrottleIncrement  *uint8                     `qapi:"cpu-throttle-increment,optional"`
	ThrottleTailslow   *bool                      `qapi:"cpu-throttle-tailslow,optional"`
	MaxBandwidth       *qapi.Size                 `qapi:"max-bandwidth,optional"`
	SwitchoverBW       *qapi.Size                 `qapi:"avail-switchover-bandwidth,optional"`
	DowntimeLimit      *uint64                    `qapi:"downtime-limit,optional"`
	CheckpointDelay    *uint32                    `qapi:"x-checkpoint-delay,optional,unstable"`
	BlockIncremental   *bool                      `qapi:"block-incremental,optional,deprecated"`
	MultifdChannels    *uint8                     `qapi:"multifd-channels,optional"`
	XBZRLECacheSize    *qapi.Size                 `qapi:"xbzrle-cache-size,optional"`
	MaxPostcopyBW      *qapi.Size                 `qapi:"max-postcopy-bandwidth,optional"`
	MaxThrottle        *uint8                     `qapi:"max-cpu-throttle,optional"`
	MultifdCompression *multifdCompression        `qapi:"multifd-compression,optional"`
	MultifdZlibLevel   *uint8                     `qapi:"multifd-zlib-level,optional"`
	MultifdZstdLevel   *uint8                     `qapi:"multifd-zstd-level,optional"`
	BitmapMapping      []BitmapMigrationNodeAlias `qapi:"block-bitmap-mapping,optional"`
	DirtyLimitPeriod   *uint64                    `qapi:"x-vcpu-dirty-limit-period,optional,unstable"`
	DirtyLimit         *uint64                    `qapi:"vcpu-dirty-limit,optional"`
	Mode               *migMode                   `qapi:"mode,optional"`
}

// MigrationParameters is the result of query-migrate-parameters.
type MigrationParameters struct {
	migrationNumbers
	TLSCreds    *string `qapi:"tls-creds,optional"`
	TLSHostname *string `qapi:"tls-hostname,optional"`
	TLSAuthz    *string `qapi:"tls-authz,optional"`
}

// strOrNull is a string, or null to clear one.
type strOrNull struct {
	S *string    `qapi:"s,alternate"`
	N *qapi.Null `qapi:"n,alternate"`
}

func (strOrNull) QAPIName() string { return "StrOrNull" }

// text is the string, "" for null.
func (s *strOrNull) text() *string {
	if s.S == nil {
		return new(string)
	}
	return s.S
}

// MigrateSetParameters is the argument of migrate-set-parameters.
type MigrateSetParameters struct {
	migrationNumbers
	TLSCreds    *strOrNull `qapi:"tls-creds,optional"`
	TLSHostname *strOrNull `qapi:"tls-hostname,optional"`
	TLSAuthz    *strOrNull `qapi:"tls-authz,optional"`
}

// defaultMigrationParameters are QEMU 8.2's.
func defaultMigrationParameters() MigrationParameters {
	return MigrationParameters{
		migrationNumbers: migrationNumbers{
			AnnounceInitial: ptr[qapi.Size](50), AnnounceMax: ptr[qapi.Size](550), AnnounceRounds: ptr[qapi.Size](5),
			AnnounceStep: ptr[qapi.Size](100), CompressLevel: ptr[uint8](1), CompressThreads: ptr[uint8](8),
			CompressWait: ptr(true), DecompressThreads: ptr[uint8](2), ThrottleTrigger: ptr[uint8](50),
			ThrottleInitial: ptr[uint8](20), ThrottleIncrement: ptr[uint8](10), ThrottleTailslow: ptr(false),
			MaxBandwidth: ptr[qapi.Size](128 << 20), SwitchoverBW: ptr[qapi.Size](0), DowntimeLimit: ptr[uint64](300),
			CheckpointDelay: ptr[uint32](20000), BlockIncremental: ptr(false), MultifdChannels: ptr[uint8](2),
			XBZRLECacheSize: ptr[qapi.Size](64 << 20), MaxPostcopyBW: ptr[qapi.Size](0), MaxThrottle: ptr[uint8](99),
			MultifdCompression: ptr(multifdCompression("none")), MultifdZlibLevel: ptr[uint8](1),
			MultifdZstdLevel: ptr[uint8](1), DirtyLimitPeriod: ptr[uint64](1000), DirtyLimit: ptr[uint64](1),
			Mode: ptr(migMode("normal")),
		},
		TLSCreds: new(string), TLSHostname: new(string), TLSAuthz: new(string),
	}
}

// set takes the members that a has, or none of them.
func (p *MigrationParameters) set(a *MigrateSetParameters) error {
	next := p.migrationNumbers
	dst, src := reflect.ValueOf(&next).Elem(), reflect.ValueOf(&a.migrationNumbers).Elem()
	for i := range src.NumField() {
		if !src.Field(i).IsNil() {
			dst.Field(i).Set(src.Field(i))
		}
	}
	if err := next.check(); err != nil {
		return err
	}
	p.migrationNumbers = next
	for _, s := range []struct {
		from *strOrNull
		to   **string
	}{{a.TLSCreds, &p.TLSCreds}, {a.TLSHostname, &p.TLSHostname}, {a.TLSAuthz, &p.TLSAuthz}} {
		if s.from != nil {
			*s.to = s.from.text()
		}
	}
	return nil
}

// check looks at the ranges in QEMU's order and with its words.
func (p *migrationNumbers) check() error {
	bad := func(name, want string) error { return qapi.Errorf("Parameter '%s' expects %s", name, want) }
	percent := func(n uint8, most uint8) bool { return n >= 1 && n <= most }
	switch {
	case *p.CompressLevel > 9:
		return bad("compress_level", "a value between 0 and 9")
	case *p.CompressThreads < 1:
		return bad("compress_threads", "a value between 1 and 255")
	case *p.DecompressThreads < 1:
		return bad("decompress_threads", "a value between 1 and 255")
	case !percent(*p.ThrottleTrigger, 100):
		return bad("throttle_trigger_threshold", "an integer in the range of 1 to 100")
	case !percent(*p.ThrottleInitial, 99):
		return bad("cpu_throttle_initial", "an integer in the range of 1 to 99")
	case !percent(*p.ThrottleIncrement, 99):
		return bad("cpu_throttle_increment", "an integer in the range of 1 to 99")
	case *p.DowntimeLimit > 2000*1000:
		return bad("downtime_limit", "an integer in the range of 0 to (2000 * 1000) ms")
	case *p.MultifdChannels < 1:
		return bad("multifd_channels", "a value between 1 and 255")
	case *p.MultifdZlibLevel > 9:
		return bad("multifd_zlib_level", "a value between 0 and 9")
	case *p.MultifdZstdLevel > 20:
		return bad("multifd_zstd_level", "a value between 0 and 20")
	case *p.XBZRLECacheSize < 4096 || bits.OnesCount64(uint64(*p.XBZRLECacheSize)) != 1:
		return bad("xbzrle_cache_size", "a power of two no less than the target page size")
	case *p.MaxThrottle < *p.ThrottleInitial || *p.MaxThrottle > 99:
		return bad("max_cpu_throttle", "an integer in the range of cpu_throttle_initial to 99")
	case *p.AnnounceInitial > 100000:
		return bad("announce_initial", "a value between 0 and 100000")
	case *p.AnnounceMax > 100000:
		return bad("announce_max", "a value between 0 and 100000")
	case *p.AnnounceRounds > 1000:
		return bad("announce_rounds", "a value between 0 and 1000")
	case *p.AnnounceStep < 1 || *p.AnnounceStep > 10000:
		return bad("announce_step", "a value between 0 and 10000")
	case *p.DirtyLimitPeriod < 1 || *p.DirtyLimitPeriod > 1000:
		return bad("x-vcpu-dirty-limit-period", "a value between 1 and 1000")
	case *p.DirtyLimit < 1:
		return qapi.Errorf("Parameter 'vcpu_dirty_limit' must be greater than 1 MB/s")
	}
	return nil
}
