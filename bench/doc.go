// Package bench measures arrwDB: the log alone, ingest through a real server, the
// feed, and the quality of searches. It is behind "arrwdb bench".
//
// A [Workload] runs its cases in an [Env] and returns a [Report]. Every case has
// a warm-up that is not counted and a number of repetitions, and its figures are
// medians over the repetitions. Before each repetition the same directory's raw
// sync time is measured (see [Probe]), so that every figure that depends on the
// device stands beside what the device did in the same seconds; ratios are taken
// within one such pair, and the median is taken of the ratios.
//
// The quality of searches does not depend on the device: relevance searches once,
// in this process, and its figures are those of judged queries.
//
// A new workload is a type in this package and a line in [Workloads]. README.md
// says how the figures are to be read.
package bench
