package cli

// WellFormedID reports whether id is what QEMU accepts as the id of a device,
// object, chardev or monitor.
func WellFormedID(id string) bool {
	for i := 0; i < len(id); i++ {
		c := id[i]
		switch {
		case isAlpha(c):
		case i > 0 && (isDigit(c) || c == '-' || c == '.' || c == '_'):
		default:
			return false
		}
	}
	return id != ""
}

// IsHelp reports whether s asks for help.
func IsHelp(s string) bool { return s == "help" || s == "?" }

// ParseUUID reads the 36-character form of a UUID into its 16 bytes, in the
// order they are written.
func ParseUUID(s string) (u [16]byte, err error) {
	if len(s) != 36 {
		return u, errf("failed to parse UUID string: wrong format")
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return [16]byte{}, errf("failed to parse UUID string: wrong format")
			}
			continue
		}
		d, ok := hexDigit(s[i])
		if !ok {
			return [16]byte{}, errf("failed to parse UUID string: wrong format")
		}
		u[n/2] = u[n/2]<<4 | byte(d)
		n++
	}
	return u, nil
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hexDigit(c byte) (int, bool) {
	switch {
	case isDigit(c):
		return int(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}
	return 0, false
}
