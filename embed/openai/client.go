package openai

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// KeyEnvPrefix begins the names of the variables that may hold API keys, so that
// nobody who can make a library can send the server's other secrets away.
const KeyEnvPrefix = "ARRWDB_EMBEDDING_"

// Defaults of ClientOptions.
const (
	DefaultMaxConcurrent = 8
	DefaultBatchSize     = 128
	DefaultMaxBatchBytes = 256 << 10
	DefaultTimeout       = 30 * time.Second
	DefaultRetries       = 4

	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 20 * time.Second // a Retry-After too
)

// ClientOptions configures a Client. A field that is zero has its default.
type ClientOptions struct {
	// AllowedHosts are the hosts that may be called, as host or host:port. None
	// allows none.
	AllowedHosts []string
	// AllowPrivate lets names resolve to loopback, private and link-local addresses.
	AllowPrivate  bool
	MaxConcurrent int           // requests under way at once
	BatchSize     int           // texts of one request
	MaxBatchBytes int           // bytes of the texts of one request, one text aside
	Timeout       time.Duration // of one attempt
	Retries       int           // attempts after the first one; negative: none
	// Sleep waits, or returns the context's error. Tests set it.
	Sleep func(ctx context.Context, d time.Duration) error
}

// A Client calls embedding services. Its methods may be called from any goroutine.
type Client struct {
	o    ClientOptions
	http *http.Client
	room chan struct{}
}

// NewClient returns a client.
func NewClient(o ClientOptions) *Client {
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.BatchSize <= 0 {
		o.BatchSize = DefaultBatchSize
	}
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = DefaultMaxBatchBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Retries == 0 {
		o.Retries = DefaultRetries
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	c := &Client{o: o, room: make(chan struct{}, o.MaxConcurrent)}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: c.guard}
	c.http = &http.Client{
		// No proxy: behind one the guard would see the proxy's address only.
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: o.MaxConcurrent, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errPrivate says that an address is not to be called.
var errPrivate = errors.New("the address is private")

// guard looks at the address that a name has turned out to be, just before it is
// called: what was checked is what is called.
func (c *Client) guard(_, address string, _ syscall.RawConn) error {
	if c.o.AllowPrivate {
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if private(ap.Addr()) {
		return fmt.Errorf("%w: %s", errPrivate, ap.Addr())
	}
	return nil
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// private reports whether an address is not one of the public internet.
func private(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsGlobalUnicast() || a.IsPrivate() || carrierGrade.Contains(a)
}

// CheckKeyEnv says whether a variable may hold an API key.
func CheckKeyEnv(name string) error {
	rest, ok := strings.CutPrefix(name, KeyEnvPrefix)
	if !ok || rest == "" {
		return fmt.Errorf("the variable's name has to begin with %s", KeyEnvPrefix)
	}
	return nil
}

// endpoint makes the address that is called of a base URL.
func endpoint(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it has to begin with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, errors.New("it must not hold a user, a query or a fragment; the key comes from the variable that api_key_env names")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if !strings.HasSuffix(u.Path, "/embeddings") {
		u.Path += "/embeddings"
	}
	u.RawPath = ""
	return u, nil
}

// CheckBaseURL says whether a base URL may be called by this client.
func (c *Client) CheckBaseURL(base string) error {
	u, err := endpoint(base)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, allowed := range c.o.AllowedHosts {
		host, p := allowed, ""
		if h, q, err := net.SplitHostPort(allowed); err == nil {
			host, p = h, q
		}
		if strings.EqualFold(strings.Trim(host, "[]"), u.Hostname()) && (p == "" || p == port) {
			return nil
		}
	}
	return fmt.Errorf("host %s is not among those that --embedding-host allows", u.Host)
}

// backoff is how long to wait before attempt n (1 is the first repetition):
// exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
func backoff(n int, atLeast time.Duration) time.Duration {
	most := min(firstBackoff<<(n-1), maxBackoff)
	return min(max(rand.N(most), atLeast), maxBackoff)
}
