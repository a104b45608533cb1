package cmd

import "testing"

func TestVerify(t *testing.T) {
	dir := closed(t)
	var v struct {
		Documents int `json:"documents"`
	}
	if okJSON(t, &v, "verify", "--data", dir); v.Documents != 3 {
		t.Errorf("%+v", v)
	}
	if r := do(t, "", "verify", "--data", t.TempDir()); r.code != exitFailed {
		t.Errorf("no database: exit %d", r.code)
	}
}
