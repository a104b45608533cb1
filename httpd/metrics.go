package httpd

import (
	"bytes"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/arrwdb/arrwdb/engine"
)

// metrics are the server's own registry: nothing process-wide, so that several
// servers can live in one process.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	lines    *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "arrwdb_http_requests_total", Help: "Requests, by route and status."}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "arrwdb_http_request_seconds", Help: "Time until the answer was made, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"method", "route"}),
		lines: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "arrwdb_ingest_lines_total", Help: "Lines of NDJSON uploads, by what became of them."}, []string{"result"})}
	m.registry.MustRegister(m.requests, m.seconds, m.lines, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), databaseMetrics{s})
	return m
}

// A usage counts the requests of a route. Finding a counter by its labels costs
// more than a whole small request, so those of a route are looked up once.
type usage struct {
	seconds  atomic.Pointer[prometheus.Observer]
	statuses sync.Map // int to prometheus.Counter
}

// observe counts a request when its answer was made. A live stream is counted
// when it begins.
func (c *call) observe(start time.Time) {
	took := time.Since(start)
	m, status := c.s.metric, c.ctx.Response.StatusCode()
	if log := c.s.o.Logger; log.Enabled(c.ctx, slog.LevelDebug) {
		// The path alone: the query may hold a key.
		log.Debug("request", "request_id", c.id, "method", string(c.ctx.Method()), "path", c.path(), "status", status, "took", took)
	}
	if c.row == nil {
		m.requests.WithLabelValues("none", "none", strconv.Itoa(status)).Inc()
		return
	}
	u := c.row.use
	counter, ok := u.statuses.Load(status)
	if !ok {
		counter, _ = u.statuses.LoadOrStore(status, m.requests.WithLabelValues(c.row.method, c.row.path, strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
	seconds := u.seconds.Load()
	if seconds == nil {
		o := m.seconds.WithLabelValues(c.row.method, c.row.path)
		seconds = &o
		u.seconds.Store(seconds)
	}
	(*seconds).Observe(took.Seconds())
}

func (c *call) metrics() error {
	families, err := c.s.metric.registry.Gather()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	c.ctx.Response.Header.SetContentType(string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	c.ctx.Response.SetBodyRaw(b.Bytes())
	return nil
}

// databaseMetrics reads the database's state when it is scraped.
type databaseMetrics struct{ s *Server }

type gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	get  func(st *engine.Status, s *Server) float64
}

func newGauge(name, help string, kind prometheus.ValueType, get func(*engine.Status, *Server) float64) gauge {
	return gauge{prometheus.NewDesc("arrwdb_"+name, help, nil, nil), kind, get}
}

var gauges = []gauge{
	newGauge("head_seq", "Newest seq that readers may see.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.HeadSeq) }),
	newGauge("durable_seq", "Newest durable seq.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.DurableSeq) }),
	newGauge("earliest_seq", "Oldest seq in the log.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.EarliestSeq) }),
	newGauge("writable", "1 while writes are taken, 0 after the log has failed.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 {
		if st.Error != nil {
			return 0
		}
		return 1
	}),
	newGauge("libraries", "Libraries.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Libraries) }),
	newGauge("log_bytes", "Bytes of the log.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.Bytes) }),
	newGauge("log_segments", "Segments of the log.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.Segments) }),
	newGauge("log_written_bytes_total", "Bytes written to the log since start.", prometheus.CounterValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.BytesWritten) }),
	newGauge("log_commits_total", "Frames committed since start.", prometheus.CounterValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.Commits) }),
	newGauge("log_records_total", "Records committed since start.", prometheus.CounterValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.Records) }),
	newGauge("log_sync_seconds_total", "Time spent in syncs of the log since start.", prometheus.CounterValue, func(st *engine.Status, _ *Server) float64 { return st.Log.SyncSeconds }),
	newGauge("log_syncs_total", "Syncs of the log since start.", prometheus.CounterValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Log.Syncs) }),
	newGauge("checkpoint_seq", "Seq that a restart need not replay.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Checkpoint.Seq) }),
	newGauge("replay_estimate_seconds", "How long a restart would replay the log now, by estimate.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return st.Checkpoint.ReplayMS / 1000 }),
	newGauge("disk_available_bytes", "Room on the disk of the data directory.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Disk.AvailableBytes) }),
	newGauge("disk_reserve_bytes", "Room below which writes are refused with disk_full.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Disk.ReserveBytes) }),
	newGauge("disk_full", "1 while writes are refused for want of room.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 {
		if st.Disk.State == "full" {
			return 1
		}
		return 0
	}),
	newGauge("store_bytes", "Bytes of the store on disk.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Store.DiskBytes) }),
	newGauge("search_slots", "Versions of chunks in the search indexes, dead ones too.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Search.Slots) }),
	newGauge("search_unbuilt_parts", "Parts of search indexes that wait to be built; searches scan them.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Search.Unbuilt) }),
	newGauge("search_indexes_building", "Search indexes that are being built anew.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Search.Building) }),
	newGauge("search_memory_bytes", "Memory of the search indexes, mapped files too.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return float64(st.Search.MemoryBytes) }),
	newGauge("recovery_seconds", "Time that the last start took to recover.", prometheus.GaugeValue, func(st *engine.Status, _ *Server) float64 { return st.Recovery.Took.Seconds() }),
	newGauge("streams", "Live streams that are open.", prometheus.GaugeValue, func(_ *engine.Status, s *Server) float64 { return float64(s.open.count()) }),
	newGauge("feed_delivered_total", "Events delivered to readers since start.", prometheus.CounterValue, func(_ *engine.Status, s *Server) float64 {
		return float64(s.ready.Load().hub.Stats().Delivered)
	}),
}

// Describe implements prometheus.Collector.
func (d databaseMetrics) Describe(ch chan<- *prometheus.Desc) {
	for i := range gauges {
		ch <- gauges[i].desc
	}
}

// Collect implements prometheus.Collector.
func (d databaseMetrics) Collect(ch chan<- prometheus.Metric) {
	r := d.s.ready.Load()
	if r == nil {
		return
	}
	st := r.db.Status()
	for i := range gauges {
		ch <- prometheus.MustNewConstMetric(gauges[i].desc, gauges[i].kind, gauges[i].get(&st, d.s))
	}
}
