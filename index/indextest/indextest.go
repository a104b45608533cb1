package indextest

import (
	"fmt"
	"testing"

	"github.com/arrwdb/arrwdb/index"
)

// Options say what a structure promises.
type Options struct {
	// Exact is for structures that miss nothing.
	Exact bool
	// MinRecall is the part of the true neighbours that others must find, for each
	// test as a whole. A Query with Exact must find all.
	MinRecall float64
	// Large is how many rows the largest test has; 0 leaves it out. It finds what only
	// many rows bring about: several workers, buffers that overflow.
	Large int
}

// Make returns an empty structure. The seed is for those that draw lots.
type Make func(metric index.Metric, dim int, seed uint64) index.Vectors

type suite struct {
	make Make
	opts Options
}

var metrics = []index.Metric{index.Cosine, index.L2, index.Dot}

// Run runs the suite. What has [index.Extents] is saved and loaded, too.
func Run(t *testing.T, mk Make, opts Options) {
	s := suite{mk, opts}
	for _, metric := range metrics {
		for _, test := range []struct {
			name string
			run  func(*testing.T, suite, index.Metric)
		}{
			{"dimensions", dimensions},
			{"kinds", kinds},
			{"masks", masks},
			{"story", story},
			{"duplicates", duplicates},
			{"maxdistance", maxDistance},
			{"extremes", extremes},
			{"empty", empty},
			{"errors", errors},
			{"concurrent", concurrent},
			{"extents", extents},
			{"large", large},
		} {
			t.Run(fmt.Sprintf("%s/%v", test.name, metric), func(t *testing.T) { test.run(t, s, metric) })
		}
	}
}
