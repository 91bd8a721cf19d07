package cli

import "strings"

// ShortForms returns QEMU's warnings for the short-form booleans in a chardev's
// compatibility syntax (`unix:PATH,server,nowait`). [Parse] reports those of
// -qmp, -qmp-pretty and -monitor. Those of -serial and -qtest are due when the
// chardev is made; give each the option's Loc, or none for -qtest.
func ShortForms(filename string) []Message {
	filename = strings.TrimPrefix(filename, "mon:")
	scheme, rest, _ := strings.Cut(filename, ":")
	first := ""
	switch scheme {
	case "unix":
		first = "path"
	case "tcp", "telnet", "tn3270", "websocket":
		// The host ends at a colon, the port at a comma.
		_, rest, _ = strings.Cut(rest, ":")
		_, rest, _ = strings.Cut(rest, ",")
	default:
		return nil
	}
	var ms []Message
	for ; rest != ""; first = "" {
		var t token
		t, rest = nextToken(rest, first)
		if t.short && (t.prefix != "" || !IsHelp(t.Name)) {
			text, hint := t.shortFormWarning()
			ms = append(ms, Message{Severity: SevWarning, Text: text, Hint: hint})
		}
		if t.Name != "id" && chardevSpec.check(t.Opt) != nil {
			break // an error, which ends the parsing
		}
	}
	return ms
}
