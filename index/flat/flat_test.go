package flat_test

import (
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/flat"
	"github.com/arrwdb/arrwdb/index/indextest"
)

func TestConformance(t *testing.T) {
	indextest.Run(t, func(m index.Metric, dim int, _ uint64) index.Vectors {
		x, err := flat.New(m, dim, flat.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}, indextest.Options{Exact: true})
}
