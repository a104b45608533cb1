package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A Client talks to one server. Its methods may be called from any goroutine.
type Client struct {
	Base string // for example http://127.0.0.1:8080
	Key  string // an API key; may be empty on a server without keys
	// HTTP makes the requests; nil means http.DefaultClient. It must not have a
	// Timeout where streams are used: end them by their context.
	HTTP *http.Client
}

// New returns a client of the server at base.
func New(base, key string) *Client { return &Client{Base: strings.TrimRight(base, "/"), Key: key} }

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

// Do sends a request and returns its answer, which is a 2xx: anything else is an
// [*Error]. The caller closes the body. path begins with a slash; query and body
// may be nil.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	u := strings.TrimRight(c.Base, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	res, err := c.http().Do(req)
	if err != nil {
		return nil, plain(err)
	}
	if res.StatusCode/100 != 2 {
		defer res.Body.Close()
		return nil, problem(res)
	}
	return res, nil
}

// plain drops the URL from what net/http reports: it may hold more than a
// message should, and the base is known to who reads it.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// call sends in as JSON and decodes the answer into out; either may be nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	header := http.Header{}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(ctx, method, path, query, header, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what the contract says: %w", method, path, err)
	}
	return nil
}

// Status returns /v1/status as it is sent: one JSON object.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, "GET", "/v1/status", nil, nil, &out)
	return out, err
}

// Ready returns nil once the server has recovered and takes requests; until then
// an [*Error] with status 503, or what went wrong on the way there.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, "GET", "/readyz", nil, nil, nil)
}

// A KeySpec says what key is to be created.
type KeySpec struct {
	Role      string   `json:"role"` // read, write or admin
	Name      string   `json:"name,omitempty"`
	Libraries []string `json:"libraries,omitempty"` // none: all
	Expires   string   `json:"expires,omitempty"`   // a duration from now, or an RFC 3339 time
}

// CreateKey creates an API key and returns the answer as it is sent:
// {"id","name","role","libraries",…,"key"}. The key is shown this once.
func (c *Client) CreateKey(ctx context.Context, spec KeySpec) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, "POST", "/v1/keys", nil, spec, &out)
	return out, err
}

// Keys returns {"keys":[…]} as it is sent.
func (c *Client) Keys(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, "GET", "/v1/keys", nil, nil, &out)
	return out, err
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/keys/"+url.PathEscape(id), nil, nil, nil)
}

func libraryPath(lib string) string { return "/v1/libraries/" + url.PathEscape(lib) }

func seqHeader(h http.Header) uint64 {
	n, _ := strconv.ParseUint(h.Get("Arrwdb-Seq"), 10, 64)
	return n
}
