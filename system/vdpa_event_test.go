package system

import (
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qapi"
)

// What a vDPA device posts is what the schema says of its event.
func TestVDPAEventIsWhatTheDevicePosts(t *testing.T) {
	r := &qapi.Registry{}
	registerVDPAEvent(r)
	e := r.Event(vdpa.StateEvent)
	if e == nil {
		t.Fatalf("there is no event %s", vdpa.StateEvent)
	}
	if e.Rate == 0 || e.RateKey != "path" {
		t.Errorf("a guest can flood clients: limit %v by %q", e.Rate, e.RateKey)
	}
	verb, queue := "VHOST_SET_OWNER", int64(1)
	v, err := e.Encode(vdpa.StateChange{Path: "/machine/x", State: "broken", Verb: &verb, Queue: &queue})
	const want = `{"state": "broken", "path": "/machine/x", "verb": "VHOST_SET_OWNER", "queue": 1}`
	if err != nil || string(qjson.Marshal(v)) != want {
		t.Errorf("%s, %v", qjson.Marshal(v), err)
	}
}
