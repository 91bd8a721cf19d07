package system

import "github.com/gqemu/gqemu/qapi"

// There are no block devices of the program's own: a vDPA device brings its
// medium along. Clients that look for some find the lists empty. So the
// entries' types have those members only by which clients tell entries apart.

// BlockInfo is one entry of query-block.
type BlockInfo struct {
	Device    string  `qapi:"device"`
	QDev      *string `qapi:"qdev,optional"`
	Type      string  `qapi:"type"`
	Removable bool    `qapi:"removable"`
	Locked    bool    `qapi:"locked"`
}

// BlockStats is one entry of query-blockstats.
type BlockStats struct {
	Device   *string `qapi:"device,optional"`
	QDev     *string `qapi:"qdev,optional"`
	NodeName *string `qapi:"node-name,optional"`
}

// BlockDeviceInfo is one entry of query-named-block-nodes.
type BlockDeviceInfo struct {
	NodeName *string `qapi:"node-name,optional"`
	Drv      string  `qapi:"drv"`
	File     string  `qapi:"file"`
	ReadOnly bool    `qapi:"ro"`
}

// BlockJobInfo is one entry of query-block-jobs.
type BlockJobInfo struct {
	Type   jobType   `qapi:"type"`
	Device string    `qapi:"device"`
	Len    int64     `qapi:"len"`
	Offset int64     `qapi:"offset"`
	Status jobStatus `qapi:"status"`
}

// JobInfo is one entry of query-jobs.
type JobInfo struct {
	ID              string    `qapi:"id"`
	Type            jobType   `qapi:"type"`
	Status          jobStatus `qapi:"status"`
	CurrentProgress int64     `qapi:"current-progress"`
	TotalProgress   int64     `qapi:"total-progress"`
	Error           *string   `qapi:"error,optional"`
}

type jobType string

func (jobType) QAPIName() string { return "JobType" }
func (jobType) QAPIEnum() []string {
	return []string{"commit", "stream", "mirror", "backup", "create", "amend", "snapshot-load", "snapshot-save", "snapshot-delete"}
}

type jobStatus string

func (jobStatus) QAPIName() string { return "JobStatus" }
func (jobStatus) QAPIEnum() []string {
	return []string{"undefined", "created", "running", "paused", "ready", "standby", "waiting", "pending", "aborting",
		"concluded", "null"}
}

type blockStatsArgs struct {
	Nodes *bool `qapi:"query-nodes,optional"`
}

type namedNodesArgs struct {
	Flat *bool `qapi:"flat,optional"`
}

// registerBlock adds commands of the QAPI modules block-core and job.
func (v *VM) registerBlock() {
	register(v, "query-block", func(none) ([]BlockInfo, error) { return []BlockInfo{}, nil }, qapi.AllowPreconfig())
	register(v, "query-blockstats", func(blockStatsArgs) ([]BlockStats, error) { return []BlockStats{}, nil }, qapi.AllowPreconfig())
	register(v, "query-block-jobs", func(none) ([]BlockJobInfo, error) { return []BlockJobInfo{}, nil }, qapi.AllowPreconfig())
	register(v, "query-named-block-nodes", func(namedNodesArgs) ([]BlockDeviceInfo, error) {
		return []BlockDeviceInfo{}, nil
	}, qapi.AllowPreconfig())
	register(v, "query-jobs", func(none) ([]JobInfo, error) { return []JobInfo{}, nil })
}
