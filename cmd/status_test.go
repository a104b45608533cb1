package cmd

import "testing"

func TestStatus(t *testing.T) {
	s := serve(t, t.TempDir())
	library(t, s, "l")
	contains(t, ok(t, "status", "--server", s.base), "head_seq ", "log.bytes ", "version ")
	var v struct {
		HeadSeq   int `json:"head_seq"`
		Libraries int
	}
	if okJSON(t, &v, "status", "--server", s.base); v.HeadSeq != 1 || v.Libraries != 1 {
		t.Errorf("%+v", v)
	}
	if r := do(t, "", "status", "--data", s.data); r.code != exitInUse {
		t.Errorf("a directory in use: exit %d", r.code)
	}
	s.stop()
	if okJSON(t, &v, "status", "--data", s.data); v.HeadSeq != 1 {
		t.Errorf("%+v", v)
	}
	if r := do(t, "", "status", "--server", s.base); r.code != exitFailed {
		t.Errorf("nobody there: exit %d", r.code)
	}
}
