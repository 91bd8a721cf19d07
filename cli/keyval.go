package cli

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/internal/qjson"
)

// maxFragment bounds one part of a dotted key, as QEMU does.
const maxFragment = 127

// ParseKeyval reads QEMU's keyval syntax, `a=1,b.c=2,d.0=x`, into a tree whose
// inner nodes are map[string]any and []any and whose leaves are strings. A
// leading bare value stands for implied= where implied is not "". help reports
// that a bare `help` or `?` was among the parts. The last value of a key wins.
func ParseKeyval(s, implied string) (tree map[string]any, help bool, err error) {
	root := map[string]any{}
	for s != "" {
		h := false
		if s, h, err = keyvalOne(root, s, implied); err != nil {
			return nil, false, err
		}
		help = help || h
		implied = ""
	}
	v, err := listify(root, nil)
	if err != nil {
		return nil, false, err
	}
	// The root's own keys cannot be indexes: a key begins with a name.
	return v.(map[string]any), help, nil
}

// keyvalOne takes one key=value off s and puts it into root.
func keyvalOne(root map[string]any, s, implied string) (rest string, help bool, err error) {
	n := strings.IndexAny(s, "=,")
	if n < 0 {
		n = len(s)
	}
	key := s[:n]
	bare := n > 0 && (n == len(s) || s[n] == ',')
	if bare && IsHelp(key) {
		return strings.TrimPrefix(s[n:], ","), true, nil
	}
	if bare && implied != "" {
		return strings.TrimPrefix(s[n:], ","), false, keyvalPut(root, implied, len(implied), implied, key)
	}

	cur, prev, at := root, "", 0
	for {
		l := fragmentLen(key[at:], at == 0)
		if l == 0 || at+l < len(key) && key[at+l] != '.' {
			return "", false, errInvalid(key)
		}
		frag := key[at : at+l]
		if l > maxFragment {
			part := ""
			if at != 0 || at+l != len(key) {
				part = " fragment"
			}
			return "", false, errf("Parameter%s '%s' is too long", part, frag)
		}
		if at > 0 {
			switch next := cur[prev].(type) {
			case nil:
				m := map[string]any{}
				cur[prev] = m
				cur = m
			case map[string]any:
				cur = next
			default:
				return "", false, errInconsistent(key[:at-1] + ".")
			}
		}
		prev = frag
		at += l
		if at == len(key) {
			break
		}
		at++
	}
	if n == len(s) || s[n] != '=' {
		return "", false, errf("Expected '=' after parameter '%s'", key)
	}
	value, rest := cutValue(s[n+1:])
	return strings.TrimPrefix(rest, ","), false, keyvalPut(cur, prev, len(key), key, value)
}

// keyvalPut stores a leaf; key[:end] names it in the error.
func keyvalPut(m map[string]any, last string, end int, key, value string) error {
	if _, inner := m[last].(map[string]any); inner {
		return errInconsistent(key[:end] + ".")
	}
	m[last] = value
	return nil
}

func errInconsistent(prefix string) error {
	return errf("Parameters '%s*' used inconsistently", prefix)
}

// fragmentLen returns the length of the key fragment at the start of s: a list
// index (not as the first fragment) or a QAPI name, which may carry a
// `__RFQDN_` prefix. It is 0 if there is none.
func fragmentLen(s string, first bool) int {
	i := 0
	if !first && s != "" && isDigit(s[0]) {
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return i
	}
	if strings.HasPrefix(s, "_") {
		if !strings.HasPrefix(s, "__") {
			return 0
		}
		for i = 2; i < len(s) && (isAlpha(s[i]) || isDigit(s[i]) || s[i] == '-' || s[i] == '.'); i++ {
		}
		if i == len(s) || s[i] != '_' {
			return 0
		}
		i++
	}
	if i == len(s) || !isAlpha(s[i]) {
		return 0
	}
	for i++; i < len(s) && (isAlpha(s[i]) || isDigit(s[i]) || s[i] == '-' || s[i] == '_'); i++ {
	}
	return i
}

// keyIndex converts a key of digits to a list index, capped at math.MaxInt32.
func keyIndex(key string) (int, bool) {
	for i := 0; i < len(key); i++ {
		if !isDigit(key[i]) {
			return 0, false
		}
	}
	if key == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(key, 10, 32)
	if err != nil {
		return math.MaxInt32, true
	}
	return int(n), true
}

// keyPath is a dotted key as a linked list, so that deep trees cost no copies.
type keyPath struct {
	parent *keyPath
	key    string
}

// String is the dotted key with a final dot; "" for the root.
func (p *keyPath) String() string {
	var parts []string
	for ; p != nil; p = p.parent {
		parts = append(parts, p.key+".")
	}
	slices.Reverse(parts)
	return strings.Join(parts, "")
}

// listify replaces, from the leaves up, each map whose keys are indexes by a
// list. path is the key of m.
func listify(m map[string]any, path *keyPath) (any, error) {
	index, member := false, false
	for _, k := range qjson.Keys(m) {
		if _, ok := keyIndex(k); ok {
			index = true
		} else {
			member = true
		}
		if inner, ok := m[k].(map[string]any); ok {
			v, err := listify(inner, &keyPath{path, k})
			if err != nil {
				return nil, err
			}
			m[k] = v
		}
	}
	if index && member {
		return nil, errInconsistent(path.String())
	}
	if !index {
		return m, nil
	}
	list := make([]any, len(m))
	seen := make([]bool, len(m))
	for _, k := range qjson.Keys(m) {
		// An index beyond the count means that a smaller one is missing.
		if i, _ := keyIndex(k); i < len(list) {
			list[i], seen[i] = m[k], true
		}
	}
	if i := slices.Index(seen, false); i >= 0 {
		// Two spellings of one index (0 and 00) leave a gap at the end only.
		if !beyond(m, i) {
			return list[:i], nil
		}
		return nil, errf("Parameter '%s%d' missing", path, i)
	}
	return list, nil
}

// beyond reports whether some index of m is greater than i.
func beyond(m map[string]any, i int) bool {
	for k := range m {
		if n, _ := keyIndex(k); n > i {
			return true
		}
	}
	return false
}

// MergeKeyval merges src into dst: maps member by member, lists by appending,
// strings by replacing.
func MergeKeyval(dst, src map[string]any) error { return mergeAt(dst, src, "") }

func mergeAt(dst, src map[string]any, prefix string) error {
	for _, k := range qjson.Keys(src) {
		switch old := dst[k].(type) {
		case nil:
			dst[k] = src[k]
			continue
		case map[string]any:
			if v, ok := src[k].(map[string]any); ok {
				if err := mergeAt(old, v, prefix+k+"."); err != nil {
					return err
				}
				continue
			}
		case []any:
			if v, ok := src[k].([]any); ok {
				dst[k] = append(slices.Clip(old), v...)
				continue
			}
		case string:
			if v, ok := src[k].(string); ok {
				dst[k] = v
				continue
			}
		}
		return errf("Parameter '%s%s' used inconsistently", prefix, k)
	}
	return nil
}
