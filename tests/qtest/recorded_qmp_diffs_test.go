package qtest

// qmpDifferences lists the recorded requests that are answered differently on
// purpose.
var qmpDifferences = []qmpDifference{
	{`{"exec-oob":"migrate-pause","id":"o3"}`, notFound("o3", "migrate-pause"), noMigration},
	{`{"exec-oob":"migrate-recover","arguments":{"uri":"x"},"id":"o4"}`, notFound("o4", "migrate-recover"), noMigration},
	{`{"exec-oob":"migrate-pause"}`, notFound("", "migrate-pause"), noMigration},
	{`{"exec-oob":"yank","arguments":{"instances":[]},"id":"o5"}`, notFound("o5", "yank"), noYank},
	{`{"exec-oob":"yank","arguments":{"instances":[{"type":"chardev","id":"x"}]},"id":"o5"}`, notFound("o5", "yank"), noYank},
	{`{"exec-oob":"query-yank","id":"o6"}`, notFound("o6", "query-yank"), noYank},
	{hmp("info"), infoTopics, smallHMP},
	{hmp("help info"), infoTopics, smallHMP},
	{hmp("info qom-tree"), unknown("info qom-tree"), smallHMP},
	{hmp("info registers"), unknown("info registers"), smallHMP},
	{hmp("device_add nosuch"), unknown("device_add"), smallHMP},
	{hmp("device_add"), unknown("device_add"), smallHMP},
	{hmp("device_del x"), unknown("device_del"), smallHMP},
	{hmp("x /8i 0x100"), unknown("x"), smallHMP},
}

const (
	noMigration = "there is no migration"
	noYank      = "no chardev or migration can be yanked"
	smallHMP    = "the human monitor has few commands"
)

func hmp(line string) string {
	return `{"execute":"human-monitor-command","arguments":{"command-line":"` + line + `"}}`
}

// infoTopics is what `info` and `help info` list.
const infoTopics = `{"return": "info kvm  -- show KVM information\r\ninfo name  -- show the current VM name\r\n` +
	`info qtree  -- show device tree\r\ninfo status  -- show the current VM status (running|paused)\r\n` +
	`info uuid  -- show the current VM UUID\r\ninfo version  -- show the version of QEMU\r\n"}`

func unknown(line string) string { return `{"return": "unknown command: '` + line + `'\r\n"}` }

func notFound(id, command string) string {
	if id != "" {
		id = `"id": "` + id + `", `
	}
	return `{` + id + `"error": {"class": "CommandNotFound", "desc": "The command ` + command + ` has not been found"}}`
}
