package qtest

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// ask is one request and what QEMU 8.2 answers: a result, or the class and the
// text of an error.
type ask struct {
	command string
	args    string // JSON, "" for none
	want    string // JSON, or "Class: text"
}

func (a ask) check(t *testing.T, q *QMP) {
	t.Helper()
	var args any
	if a.args != "" {
		if err := json.Unmarshal([]byte(a.args), &args); err != nil {
			t.Fatalf("%s: %v", a.args, err)
		}
	}
	var got json.RawMessage
	have := ""
	if err := q.Execute(a.command, args, &got); err != nil {
		have = err.Error()
	} else {
		have = string(got)
	}
	if have != a.want && !sameJSON(have, a.want) {
		t.Errorf("%s %s:\n have %s\n want %s", a.command, a.args, have, a.want)
	}
}

func checkAll(t *testing.T, q *QMP, asks []ask) {
	t.Helper()
	for _, a := range asks {
		a.check(t, q)
	}
}

// TestRefusals: commands whose subject does not exist here answer with QEMU's
// refusals, and lists are empty.
func TestRefusals(t *testing.T) {
	t.Parallel()
	checkAll(t, Start(t, "-M", "microvm").QMP, []ask{
		{"query-block", "", `[]`},
		{"query-blockstats", `{"query-nodes":true}`, `[]`},
		{"query-blockstats", `{"query-nodes":1}`, "GenericError: Invalid parameter type for 'query-nodes', expected: boolean"},
		{"query-block-jobs", "", `[]`},
		{"query-named-block-nodes", `{"flat":true}`, `[]`},
		{"query-jobs", "", `[]`},
		{"query-pci", "", `[]`},
		{"query-rx-filter", "", `[]`},
		{"query-rx-filter", `{"name":"x"}`, "GenericError: invalid net client name: x"},
		{"set_link", `{"name":"x","up":true}`, "DeviceNotFound: Device 'x' not found"},
		{"netdev_del", `{"id":"x"}`, "DeviceNotFound: Device 'x' not found"},
		{"netdev_add", `{"type":"nosuch","id":"n"}`, "GenericError: Parameter 'type' does not accept value 'nosuch'"},
		{"netdev_add", `{"type":"tap","id":"n"}`, "GenericError: network backend 'tap' is not compiled into this binary"},
		{"netdev_add", `{"type":"tap"}`, "GenericError: Parameter 'id' is missing"},
		{"netdev_add", `{"type":5,"id":"n"}`, "GenericError: Invalid parameter type for 'type', expected: string"},
		{"screendump", `{"filename":"/dev/null"}`, "GenericError: There is no console to take a screendump from"},
		{"screendump", `{"filename":"/dev/null","head":1}`, "GenericError: 'head' must be specified together with 'device'"},
		{"screendump", `{"filename":"/dev/null","device":"x"}`, "DeviceNotFound: Device 'x' not found"},
		{"query-balloon", "", "DeviceNotActive: No balloon device has been activated"},
		{"balloon", `{"value":0}`, "DeviceNotActive: No balloon device has been activated"},
		{"system_wakeup", "", "GenericError: wake-up from suspend is not supported by this guest"},
		{"query-current-machine", "", `{"wakeup-suspend-support": false}`},
		{"query-hotpluggable-cpus", "", "GenericError: machine does not support hot-plugging CPUs"},
		{"query-memory-size-summary", "", `{"base-memory": 134217728, "plugged-memory": 0}`},
		{"query-memory-devices", "", `[]`},
		{"query-iothreads", "", `[]`},
		{"query-fdsets", "", `[]`},
		{"yank", `{"instances":[{"type":"block-node","node-name":"x"}]}`, "DeviceNotFound: Instance not found"},
		{"yank", `{"instances":[{"type":"migration"}]}`, "DeviceNotFound: Instance not found"},
		{"trace-event-get-state", `{"name":"nosuch"}`, `GenericError: unknown event "nosuch"`},
		{"trace-event-get-state", `{"name":"nosuch*"}`, `[]`},
		{"trace-event-set-state", `{"name":"nosuch*","enable":true}`, `{}`},
		{"trace-event-set-state", `{"name":"nosuch","enable":true,"ignore-unavailable":true}`, `GenericError: unknown event "nosuch"`},
		{"add_client", `{"protocol":"vnc","fdname":"x"}`, "GenericError: File descriptor named 'x' has not been found"},
		{"x-query-virtio", "", "GenericError: No virtio devices found"},
		{"x-query-virtio-status", `{"path":"/machine"}`, "GenericError: Path /machine is not a realized VirtIODevice"},
		{"set-action", `{"reboot":"foo"}`, "GenericError: Parameter 'reboot' does not accept value 'foo'"},
		{"set-action", `{"reboot":"shutdown","shutdown":"pause","panic":"none","watchdog":"debug"}`, `{}`},
		{"watchdog-set-action", `{"action":"foo"}`, "GenericError: Parameter 'action' does not accept value 'foo'"},
		{"inject-nmi", "", `{}`},
		{"rtc-reset-reinjection", "", `{}`},
		{"query-cpu-model-expansion", `{"type":"full","model":{"name":"nosuch"}}`, "GenericError: CPU model 'nosuch' not found"},
		{"query-cpu-model-expansion", `{"type":"full","model":{"name":"qemu64","props":{"avx":"x"}}}`,
			"GenericError: Invalid parameter type for 'avx', expected: boolean"},
		{"query-command-line-options", `{"option":"nosuch"}`, "GenericError: invalid option name: nosuch"},
		{"query-command-line-options", `{"option":"device"}`, `[{"parameters": [], "option": "device"}]`},
	})
	checkAll(t, Start(t, "-M", "none").QMP, []ask{
		{"inject-nmi", "", "GenericError: this feature or command is not currently supported"},
		{"query-cpus", "", `[]`},
		{"query-memdev", "", `[]`},
	})
}

// TestMigrationCommands: clients may prepare a migration, within QEMU's limits;
// it is refused when it begins.
func TestMigrationCommands(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "microvm", "-object", "vdpa-sim-blk,id=d0,size=1M",
		"-device", "vhost-vdpa-device,id=v0,vhostdev=/objects/d0").QMP
	param := func(name, value, want string) ask {
		return ask{"migrate-set-parameters", `{"` + name + `":` + value + `}`, "GenericError: Parameter " + want}
	}
	caps := func(list, want string) ask {
		return ask{"migrate-set-capabilities", `{"capabilities":[` + list + `]}`, want}
	}
	checkAll(t, q, []ask{
		{"query-migrate", "", `{"blocked-reasons": ["Migration disabled: vhost lacks VHOST_F_LOG_ALL feature."]}`},
		{"migrate", `{"uri":"nosuch:"}`, "GenericError: unknown migration protocol: nosuch:"},
		{"migrate", `{"uri":"tcp:"}`, "GenericError: error parsing address ''"},
		{"migrate", `{"uri":"exec:true","resume":true}`, "GenericError: Cannot resume if there is no paused migration"},
		{"migrate", `{"uri":"exec:true"}`,
			"GenericError: State blocked by non-migratable device 'virtio-mmio@00000000feb02e00/vhost-vdpa-device'"},
		{"migrate", `{"channels":[{"channel-type":"main","addr":{"transport":"exec","args":["/bin/true"]}}]}`,
			"GenericError: State blocked by non-migratable device 'virtio-mmio@00000000feb02e00/vhost-vdpa-device'"},
		{"migrate_cancel", "", `{}`},
		{"migrate-continue", `{"state":"pre-switchover"}`, "GenericError: Migration not in expected state: none"},
		{"migrate-incoming", `{"uri":"defer"}`, "GenericError: '-incoming' was not specified on the command line"},
		{"migrate-start-postcopy", "", "GenericError: Enable postcopy with migrate_set_capability before the start of migration"},
		param("compress-level", "10", "'compress_level' expects a value between 0 and 9"),
		param("compress-level", "256", "'compress-level' expects uint8_t"),
		param("downtime-limit", "2000001", "'downtime_limit' expects an integer in the range of 0 to (2000 * 1000) ms"),
		param("multifd-channels", "0", "'multifd_channels' expects a value between 1 and 255"),
		param("max-cpu-throttle", "10", "'max_cpu_throttle' expects an integer in the range of cpu_throttle_initial to 99"),
		param("xbzrle-cache-size", "4095", "'xbzrle_cache_size' expects a power of two no less than the target page size"),
		param("nosuch", "1", "'nosuch' is unexpected"),
		{"migrate-set-parameters", `{"downtime-limit":500,"tls-creds":"x","tls-hostname":null}`, `{}`},
		caps(`{"capability":"switchover-ack","state":true}`,
			"GenericError: Capability 'switchover-ack' requires capability 'return-path'"),
		caps(`{"capability":"xbzrle","state":true}`, `{}`),
		caps(`{"capability":"background-snapshot","state":true}`,
			"GenericError: Background-snapshot is not compatible with xbzrle"),
	})
	var p struct {
		Downtime  int    `json:"downtime-limit"`
		Creds     string `json:"tls-creds"`
		Bandwidth int    `json:"max-bandwidth"`
	}
	q.Must("query-migrate-parameters", nil, &p)
	if p.Downtime != 500 || p.Creds != "x" || p.Bandwidth != 128<<20 {
		t.Errorf("%+v", p)
	}
	var c []struct {
		Capability string
		State      bool
	}
	q.Must("query-migrate-capabilities", nil, &c)
	for i, e := range c {
		if e.State != (i == 0) {
			t.Errorf("%s is %v", e.Capability, e.State)
		}
	}
}

// TestChardevCommands: chardevs come, change and go while the VM runs; ring
// buffers hold what was written.
func TestChardevCommands(t *testing.T) {
	t.Parallel()
	dir := ShortDir(t)
	q := Start(t, "-M", "microvm", "-chardev", "null,id=com1", "-serial", "chardev:com1").QMP
	add := func(id, kind, data, want string) ask {
		return ask{"chardev-add", `{"id":"` + id + `","backend":{"type":"` + kind + `","data":{` + data + `}}}`, want}
	}
	socket := `"addr":{"type":"unix","data":{"path":"` + dir + `/s"}}`
	checkAll(t, q, []ask{
		add("c", "null", "", `{}`),
		add("c", "null", "", "GenericError: Chardev with id 'c' already exists"),
		{"chardev-add", `{"id":"d","backend":{"type":"null"}}`, "GenericError: Parameter 'backend.data' is missing"},
		{"chardev-add", `{"id":"d","backend":{"type":"nosuch","data":{}}}`, "GenericError: Parameter 'type' does not accept value 'nosuch'"},
		add("f", "file", `"out":"/nonexistent/dir/x"`, "GenericError: Failed to add chardev 'f': Could not open '/nonexistent/dir/x': No such file or directory"),
		add("r", "ringbuf", `"size":100`, "GenericError: Failed to add chardev 'r': size of ringbuf chardev must be power of two"),
		add("r", "ringbuf", `"size":16`, `{}`),
		{"ringbuf-write", `{"device":"r","data":"hello"}`, `{}`},
		{"ringbuf-read", `{"device":"r","size":3}`, `"hel"`},
		{"ringbuf-read", `{"device":"r","size":9,"format":"base64"}`, `"bG8="`},
		{"ringbuf-read", `{"device":"r","size":0}`, "GenericError: size must be greater than zero"},
		{"ringbuf-write", `{"device":"r","data":"!!","format":"base64"}`, "GenericError: Base64 data contains invalid characters"},
		{"ringbuf-write", `{"device":"r","data":"aGk=","format":"base64"}`, `{}`},
		{"ringbuf-read", `{"device":"r","size":99}`, `"hi"`},
		{"ringbuf-read", `{"device":"c","size":1}`, "GenericError: c is not a ringbuf device"},
		{"ringbuf-write", `{"device":"nosuch","data":"x"}`, "GenericError: Device 'nosuch' not found"},
		add("s", "socket", socket+`,"server":true,"reconnect":1`,
			"GenericError: Failed to add chardev 's': 'reconnect' option is incompatible with socket in server listen mode"),
		add("s", "socket", socket+`,"server":false`,
			"GenericError: Failed to add chardev 's': Failed to connect to '"+dir+"/s': No such file or directory"),
		add("s", "socket", socket, `{}`),
		{"query-yank", "", `[{"type": "chardev", "id": "char0"}, {"type": "chardev", "id": "qtest"}, {"type": "chardev", "id": "s"}]`},
		{"yank", `{"instances":[{"type":"chardev","id":"s"}]}`, `{}`},
		{"yank", `{"instances":[{"type":"chardev","id":"c"}]}`, "DeviceNotFound: Instance not found"},
		{"chardev-change", `{"id":"nosuch","backend":{"type":"null","data":{}}}`, "GenericError: Chardev 'nosuch' does not exist"},
		{"chardev-change", `{"id":"com1","backend":{"type":"ringbuf","data":{}}}`, `{}`},
		{"chardev-change", `{"id":"c","backend":{"type":"ringbuf","data":{}}}`, `{}`},
		{"ringbuf-read", `{"device":"c","size":1}`, `""`},
		{"chardev-remove", `{"id":"com1"}`, "GenericError: Chardev 'com1' is busy"},
		{"chardev-remove", `{"id":"nosuch"}`, "GenericError: Chardev 'nosuch' not found"},
		{"chardev-send-break", `{"id":"nosuch"}`, "GenericError: Chardev 'nosuch' not found"},
		{"chardev-send-break", `{"id":"com1"}`, `{}`},
		{"chardev-remove", `{"id":"s"}`, `{}`},
		{"chardev-remove", `{"id":"c"}`, `{}`},
		{"chardev-remove", `{"id":"r"}`, `{}`},
	})
	if _, err := os.Stat(dir + "/s"); err == nil {
		t.Error("the socket's file is left behind")
	}
}

// TestChardevChangeUnderUART: the serial port goes on with the new backend,
// and a break reaches it.
func TestChardevChangeUnderUART(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm", "-chardev", "null,id=com1", "-serial", "chardev:com1")
	ask{"chardev-change", `{"id":"com1","backend":{"type":"ringbuf","data":{}}}`, `{}`}.check(t, m.QMP)
	for _, b := range []byte("hi") {
		m.Outb(0x3f8, b)
		m.ClockStep(1e6)
	}
	ask{"ringbuf-read", `{"device":"com1","size":9}`, `"hi"`}.check(t, m.QMP)
	m.QMP.Must("chardev-send-break", map[string]any{"id": "com1"}, nil)
	m.Eventually("the break", func() bool { return m.Inb(0x3fd)&0x10 != 0 })
}

// TestObjectCommands: objects come and go; who is in use stays.
func TestObjectCommands(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "microvm").QMP
	add := func(args, want string) ask { return ask{"object-add", "{" + args + "}", want} }
	checkAll(t, q, []ask{
		add(``, "GenericError: Parameter 'qom-type' is missing"),
		add(`"qom-type":"nosuch","id":"a"`, "GenericError: Parameter 'qom-type' does not accept value 'nosuch'"),
		add(`"qom-type":"memory-backend-ram","id":"a"`, "GenericError: Parameter 'size' is missing"),
		add(`"qom-type":"memory-backend-ram","id":"a","size":0`,
			"GenericError: property 'size' of memory-backend-ram doesn't take value '0'"),
		add(`"qom-type":"memory-backend-ram","id":"1a","size":4096`, "GenericError: Parameter 'id' expects an identifier"),
		add(`"qom-type":"memory-backend-ram","id":"a","size":1048576`, `{}`),
		add(`"qom-type":"memory-backend-ram","id":"a","size":1048576`,
			"GenericError: attempt to add duplicate property 'a' to object (type 'container')"),
		add(`"qom-type":"memory-backend-file","id":"b","size":4096,"mem-path":"/nonexistent/dir/x"`,
			"GenericError: can't open backing store /nonexistent/dir/x for guest RAM: No such file or directory"),
		{"object-del", `{"id":"b"}`, "GenericError: object 'b' not found"},
		{"object-del", `{"id":"microvm.ram"}`, "GenericError: object 'microvm.ram' is in use, can not be deleted"},
		{"object-del", `{"id":"a"}`, `{}`},
		{"object-del", `{"id":"a"}`, "GenericError: object 'a' not found"},
		add(`"qom-type":"iothread","id":"t0","poll-max-ns":-1`,
			"GenericError: poll-max-ns value must be in range [0, 9223372036854775807]"),
		add(`"qom-type":"iothread","id":"t0","poll-grow":3`, `{}`),
	})
	var threads []struct {
		ID   string
		TID  int `json:"thread-id"`
		Max  int `json:"poll-max-ns"`
		Grow int `json:"poll-grow"`
	}
	q.Must("query-iothreads", nil, &threads)
	if len(threads) != 1 || threads[0].ID != "t0" || threads[0].Max != 32768 || threads[0].Grow != 3 || threads[0].TID == 0 {
		t.Errorf("%+v", threads)
	}
	q.Must("object-del", map[string]any{"id": "t0"}, nil)
}

// TestMemdevOrder: query-memdev lists as QEMU did when it was recorded.
func TestMemdevOrder(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "q35").QMP
	for _, id := range []string{"ram1", "ram2"} {
		q.Must("object-add", map[string]any{"qom-type": "memory-backend-memfd", "id": id, "size": 1 << 20}, nil)
	}
	var list []struct{ ID string }
	q.Must("query-memdev", nil, &list)
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	if want := []string{"ram1", "ram2", "pc.ram"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("have %v, want %v", ids, want)
	}
}

// TestFDCommands: descriptors come over the socket, are listed and go.
func TestFDCommands(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "none")
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := len(m.Process.FDs())
	var added struct {
		Set int `json:"fdset-id"`
		FD  int
	}
	if err := m.QMP.ExecuteFDs("add-fd", map[string]any{"opaque": "null"}, &added, f); err != nil {
		t.Fatal(err)
	}
	var sets []struct {
		ID  int `json:"fdset-id"`
		FDs []struct {
			FD     int
			Opaque string
		}
	}
	m.QMP.Must("query-fdsets", nil, &sets)
	if len(sets) != 1 || sets[0].ID != added.Set || len(sets[0].FDs) != 1 || sets[0].FDs[0].FD != added.FD || sets[0].FDs[0].Opaque != "null" {
		t.Errorf("%+v after %+v", sets, added)
	}
	if err := m.QMP.ExecuteFDs("getfd", map[string]any{"fdname": "x"}, nil, f); err != nil {
		t.Error(err)
	}
	checkAll(t, m.QMP, []ask{
		{"add-fd", "", "GenericError: No file descriptor supplied via SCM_RIGHTS"},
		{"getfd", `{"fdname":"y"}`, "GenericError: No file descriptor supplied via SCM_RIGHTS"},
		{"remove-fd", `{"fdset-id":5}`, "GenericError: File descriptor named 'fdset-id:5' not found"},
		{"add_client", `{"protocol":"nosuch","fdname":"x"}`, "GenericError: protocol 'nosuch' is invalid"},
		{"closefd", `{"fdname":"x"}`, "GenericError: File descriptor named 'x' not found"},
		{"chardev-add", `{"id":"s","backend":{"type":"socket","data":{"addr":{"type":"fd","data":{"str":"3"}}}}}`, // one of the program's own
			"GenericError: Failed to add chardev 's': File descriptor named '3' has not been found"},
		{"remove-fd", `{"fdset-id":0}`, `{}`},
		{"query-fdsets", "", `[]`},
	})
	m.Eventually("no descriptor is left", func() bool { return len(m.Process.FDs()) == before })
}

// TestMemorySave: guest memory in a file, physical and as a CPU sees it.
func TestMemorySave(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm")
	m.Write(0x1ff0, []byte(strings.Repeat("0123456789abcdef", 2)))
	path := t.TempDir() + "/mem"
	for _, c := range []string{"pmemsave", "memsave"} {
		m.QMP.Must(c, map[string]any{"val": 0x1ff0, "size": 32, "filename": path}, nil)
		if b, err := os.ReadFile(path); err != nil || string(b) != strings.Repeat("0123456789abcdef", 2) {
			t.Errorf("%s: %q, %v", c, b, err)
		}
	}
	checkAll(t, m.QMP, []ask{
		{"memsave", `{"val":0,"size":1,"filename":"/dev/null","cpu-index":1}`, "GenericError: Parameter 'cpu-index' expects a CPU number"},
		{"pmemsave", `{"val":0,"size":1,"filename":"/nonexistent/dir/x"}`, "GenericError: Could not open '/nonexistent/dir/x': No such file or directory"},
		{"pmemsave", `{"val":0,"size":-1,"filename":"/dev/null"}`, "GenericError: Parameter 'size' expects a non-negative value"},
		{"pmemsave", `{"val":-1,"size":2,"filename":"/dev/null"}`, `{}`},
	})
}
