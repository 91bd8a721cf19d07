package qapi

import (
	"fmt"
	"testing"
)

// Of several members that do not belong, QEMU complains of the one that comes
// first in a hash table. Recorded from QEMU.
func TestFirstStray(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"path":1,"type":1,"jalnfei":1}`, "jalnfei"},
		{`{"nosuch":1,"driver":1}`, "driver"},
		{`{"extra":1,"id":1}`, "id"},
		{`{"n":1,"geendf":1,"e":1,"extra":1,"b":1,"gk":1,"i_cjkj":1,"h":1,"bar":1,"ionebb":1,"pfbc_":1,"name":1,"dhol":1,"driver":1,"d":1,"three":1}`, "ionebb"},
		{`{"value":1,"lfolk-e":1,"b":1,"ioj-ll":1,"agfof":1,"jcnf-nj_":1,"a":1,"extra":1}`, "b"},
		{`{"type":1,"almind":1,"nn_":1,"foo":1,"size":1,"name":1,"c":1,"arguments":1,"a":1,"b_jdj_":1,"hfbedkfp":1,"bus":1}`, "nn_"},
		{`{"c":1,"amdk_e":1}`, "amdk_e"},
		{`{"zero":1,"property":1,"size":1,"unknown":1,"mfijpin":1}`, "mfijpin"},
		{`{"x":1,"hjbemap_":1}`, "hjbemap_"},
		{`{"zero":1,"nosuch":1,"o":1,"baz":1,"x":1,"execute":1,"y":1,"piej":1}`, "o"},
		{`{"c":1,"arguments":1,"eljnl-b":1,"a":1,"dcpg":1}`, "eljnl-b"},
		{`{"addr":1,"c_":1,"f-mg":1,"e":1,"baz":1,"p":1,"b":1,"cmlj":1,"g":1,"bar":1,"iaobonf":1,"arguments":1,"pcpb":1,"path":1,"h":1,"three":1}`, "cmlj"},
		{`{"moggig":1,"e":1,"baz":1,"abhp":1,"arguments":1,"nfobf_pp":1,"three":1}`, "e"},
		{`{"value":1,"nosuch":1}`, "nosuch"},
		{`{"c":1,"cole":1}`, "cole"},
		{`{"value":1,"type":1,"zero":1,"property":1,"baz":1,"ga":1,"iofpdjil":1}`, "baz"},
		{`{"baz":1,"two":1,"kbobhjji":1}`, "kbobhjji"},
		{`{"gdiei":1,"bclkn":1,"bar":1}`, "bclkn"},
		{`{"id":1,"mbfjjo":1,"engapk":1}`, "mbfjjo"},
	} {
		if got := firstStray(object(t, c.in), func(string) bool { return false }); got != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
	}
	m := map[string]any{}
	for i := range 5000 {
		m[fmt.Sprint(i)] = nil
	}
	for _, only := range []string{"17", "4711", ""} {
		m[only] = nil
		if got := firstStray(m, func(name string) bool { return name != only }); got != only {
			t.Errorf("among many: %q, want %q", got, only)
		}
	}
}
