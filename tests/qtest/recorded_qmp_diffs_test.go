package qtest

// qmpDifferences lists the recorded requests that are answered differently on
// purpose.
var qmpDifferences = []qmpDifference{
	{`{"exec-oob":"yank","arguments":{"instances":[]},"id":"o5"}`, notFound("o5", "yank"), noYank},
	{`{"exec-oob":"yank","arguments":{"instances":[{"type":"chardev","id":"x"}]},"id":"o5"}`, notFound("o5", "yank"), noYank},
	{`{"exec-oob":"query-yank","id":"o6"}`, notFound("o6", "query-yank"), noYank},
}

const (
	noYank = "no chardev or migration can be yanked"
)

func notFound(id, command string) string {
	if id != "" {
		id = `"id": "` + id + `", `
	}
	return `{` + id + `"error": {"class": "CommandNotFound", "desc": "The command ` + command + ` has not been found"}}`
}
