package cli

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/internal/qjson"
)

type m = map[string]any

// TestParseKeyval covers the grammar: dotted keys, lists, escapes, the implied
// key, help, and QEMU's texts.
func TestParseKeyval(t *testing.T) {
	for _, c := range []struct {
		in, implied string
		want        m
		help        bool
		err         string
	}{
		{in: "", want: m{}},
		{in: "a=b,c=d", want: m{"a": "b", "c": "d"}},
		{in: "a=b,a=c", want: m{"a": "c"}},
		{in: "a=x,,y,b=", want: m{"a": "x,y", "b": ""}},
		{in: "a=1,", want: m{"a": "1"}},
		{in: "a.b.c=1,a.d=2", want: m{"a": m{"b": m{"c": "1"}, "d": "2"}}},
		{in: "l.1=b,l.0=a", want: m{"l": []any{"a", "b"}}},
		{in: "l.0.x=1,l.1.x=2", want: m{"l": []any{m{"x": "1"}, m{"x": "2"}}}},
		{in: "l.0=a,l.00=b", want: m{"l": []any{"b"}}},
		{in: "__com.example_x=1", want: m{"__com.example_x": "1"}},
		{in: "microvm,pic=off", implied: "type", want: m{"type": "microvm", "pic": "off"}},
		{in: "type=a=b", implied: "type", want: m{"type": "a=b"}},
		{in: "help", implied: "type", want: m{}, help: true},
		{in: "microvm,?", implied: "type", want: m{"type": "microvm"}, help: true},

		{in: "a", err: "Expected '=' after parameter 'a'"},
		{in: "x,a", implied: "type", err: "Expected '=' after parameter 'a'"},
		{in: "x,,y", implied: "type", err: "Invalid parameter ''"},
		{in: "=x", implied: "type", err: "Invalid parameter ''"},
		{in: ",", err: "Invalid parameter ''"},
		{in: "1a=x", err: "Invalid parameter '1a'"},
		{in: "0=x", err: "Invalid parameter '0'"},
		{in: "a.1x=x", err: "Invalid parameter 'a.1x'"},
		{in: "a..b=x", err: "Invalid parameter 'a..b'"},
		{in: "a.=x", err: "Invalid parameter 'a.'"},
		{in: "_a=x", err: "Invalid parameter '_a'"},
		{in: "a=1,a.b=2", err: "Parameters 'a.*' used inconsistently"},
		{in: "a.b=1,a=2", err: "Parameters 'a.*' used inconsistently"},
		{in: "a.b.c=1,a.b=2", err: "Parameters 'a.b.*' used inconsistently"},
		{in: "a.b.c=1,a.b.0=2", err: "Parameters 'a.b.*' used inconsistently"},
		{in: "l.1=a", err: "Parameter 'l.0' missing"},
		{in: "l.0=a,l.99999999999=b", err: "Parameter 'l.1' missing"},
		{in: "a.l.0=a,a.l.2=b", err: "Parameter 'a.l.1' missing"},
		{in: strings.Repeat("a", 128) + "=1", err: "Parameter '" + strings.Repeat("a", 128) + "' is too long"},
		{in: "b." + strings.Repeat("a", 128) + "=1", err: "Parameter fragment '" + strings.Repeat("a", 128) + "' is too long"},
	} {
		tree, help, err := ParseKeyval(c.in, c.implied)
		if text := errText(err); text != c.err || help != c.help || err == nil && !reflect.DeepEqual(tree, c.want) {
			t.Errorf("ParseKeyval(%q, %q) = %v, %v, %q", c.in, c.implied, tree, help, text)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestMergeKeyval merges later options into earlier ones.
func TestMergeKeyval(t *testing.T) {
	dst := m{"a": "1", "d": m{"x": "1"}, "l": []any{"1"}}
	if err := MergeKeyval(dst, m{"a": "2", "d": m{"y": "2"}, "l": []any{"2"}, "n": "3"}); err != nil {
		t.Fatal(err)
	}
	if want := (m{"a": "2", "d": m{"x": "1", "y": "2"}, "l": []any{"1", "2"}, "n": "3"}); !reflect.DeepEqual(dst, want) {
		t.Errorf("%v", dst)
	}
	for _, c := range []struct {
		src  m
		want string
	}{
		{m{"a": m{"x": "1"}}, "Parameter 'a' used inconsistently"},
		{m{"d": m{"x": m{"z": "1"}}}, "Parameter 'd.x' used inconsistently"},
		{m{"l": "1"}, "Parameter 'l' used inconsistently"},
	} {
		if err := MergeKeyval(dst, c.src); errText(err) != c.want {
			t.Errorf("%v: %v", c.src, err)
		}
	}
}

// TestDeepKeyval: depth costs neither stack nor quadratic time.
func TestDeepKeyval(t *testing.T) {
	if _, _, err := ParseKeyval(strings.Repeat("a.", 60000)+"a=1", ""); err != nil {
		t.Error(err)
	}
}

// FuzzKeyval: what parses is written back and parses to the same.
func FuzzKeyval(f *testing.F) {
	for _, s := range []string{"a=b,c=d", "a=x,,y", "l.1=b,l.0=a,q.w.e=r", "x,?,help", "a.0.0=1,a.0.1=,", "__c.x_y=1"} {
		f.Add(s, "")
		f.Add(s, "type")
	}
	f.Fuzz(func(t *testing.T, s, implied string) {
		if implied != "" {
			implied = "type"
		}
		tree, _, err := ParseKeyval(s, implied)
		if err != nil {
			return
		}
		out := formatKeyval(tree)
		again, help, err := ParseKeyval(out, "")
		if err != nil || help || !reflect.DeepEqual(tree, again) {
			t.Errorf("%q -> %v -> %q -> %v, %v", s, tree, out, again, err)
		}
		if err := MergeKeyval(map[string]any{}, tree); err != nil {
			t.Error(err)
		}
	})
}

// formatKeyval writes a tree so that ParseKeyval reads the same tree. Empty
// maps and lists below the root cannot be written; parsing produces none.
func formatKeyval(tree map[string]any) string {
	var parts []string
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case string:
			parts = append(parts, prefix+"="+strings.ReplaceAll(v, ",", ",,"))
		case []any:
			for i, e := range v {
				walk(prefix+"."+strconv.Itoa(i), e)
			}
		case map[string]any:
			for _, k := range qjson.Keys(v) {
				walk(prefix+"."+k, v[k])
			}
		}
	}
	for _, k := range qjson.Keys(tree) {
		walk(k, tree[k])
	}
	return strings.Join(parts, ",")
}
