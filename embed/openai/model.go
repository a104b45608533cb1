package openai

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/arrwdb/arrwdb/embed"
)

// MaxDimension bounds what a service may answer with.
const MaxDimension = 16_384

// A Config says which model of which service a library embeds with.
type Config struct {
	BaseURL   string // such as https://api.openai.com/v1
	Model     string
	APIKey    string // "" sends none
	Dimension int    // of the vectors; 0 only for Probe
	Client    *Client
}

// A Model is a model of a service. Its methods may be called from any goroutine.
type Model struct {
	c        Config
	endpoint string
	info     embed.Info
}

// New checks a configuration and returns its model. It calls nobody.
func New(c Config) (*Model, error) {
	u, err := endpoint(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	if c.Model == "" {
		return nil, errors.New("model: it is empty")
	}
	if err := c.Client.CheckBaseURL(c.BaseURL); err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	m := &Model{c: c, endpoint: u.String()}
	m.info = embed.Info{Provider: embed.ProviderOpenAI, Model: c.Model, Hash: Hash(c.BaseURL, c.Model, c.Dimension), Dimension: c.Dimension}
	return m, nil
}

// Hash stands for the model's data, which are not known: vectors of another address,
// model or dimension have another one.
func Hash(baseURL, model string, dimension int) string {
	if u, err := endpoint(baseURL); err == nil {
		baseURL = u.String()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", baseURL, model, dimension))
	return hex.EncodeToString(sum[:])
}

// Info implements embed.Model.
func (m *Model) Info() embed.Info { return m.info }

// Probe asks the service how many numbers its vectors have.
func (m *Model) Probe(ctx context.Context) (int, error) {
	out := make([][]float32, 1)
	if err := m.batch(ctx, []string{"dimension"}, out); err != nil {
		return 0, err
	}
	return len(out[0]), nil
}

// Embed implements embed.Model: texts go out in batches, several at once. An empty
// text goes out as a space, since services refuse empty ones.
func (m *Model) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for from := 0; from < len(texts); {
		to, size := from, 0
		for to < len(texts) && to-from < m.c.Client.o.BatchSize && (to == from || size+len(texts[to]) <= m.c.Client.o.MaxBatchBytes) {
			size += len(texts[to])
			to++
		}
		part, into := texts[from:to], out[from:to]
		from = to
		// Room first, so that a long list does not become as many goroutines.
		select {
		case m.c.Client.room <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return nil, context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-m.c.Client.room }()
			if err := m.batch(ctx, part, into); err != nil {
				cancel(err) // the first one counts
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// batch embeds the texts of one request, and tries again where that may help.
func (m *Model) batch(ctx context.Context, texts []string, out [][]float32) error {
	input := make([]string, len(texts))
	for i, t := range texts {
		if input[i] = t; t == "" {
			input[i] = " "
		}
	}
	body, err := json.Marshal(map[string]any{"model": m.c.Model, "input": input, "encoding_format": "float"})
	if err != nil {
		return m.fail(false, err, "the texts cannot be sent")
	}
	for attempt := 0; ; attempt++ {
		after, err := m.attempt(ctx, body, out)
		var e *embed.Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) || !e.Retryable || attempt >= m.c.Client.o.Retries {
			return err
		}
		if err := m.c.Client.o.Sleep(ctx, backoff(attempt+1, after)); err != nil {
			return err
		}
	}
}

func (m *Model) fail(retryable bool, cause error, format string, args ...any) *embed.Error {
	return &embed.Error{Provider: embed.ProviderOpenAI, Retryable: retryable, Detail: fmt.Sprintf(format, args...), Err: cause}
}

// attempt sends one request. after is how long the service wants not to be asked.
func (m *Model) attempt(ctx context.Context, body []byte, out [][]float32) (after time.Duration, err error) {
	timed, cancel := context.WithTimeout(ctx, m.c.Client.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(timed, http.MethodPost, m.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, m.fail(false, err, "the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if m.c.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+m.c.APIKey)
	}
	res, err := m.c.Client.http.Do(req)
	if err != nil {
		if errors.Is(err, errPrivate) {
			return 0, m.fail(false, errPrivate, "the service's address is a private one, and those are not allowed here")
		}
		return 0, m.fail(true, cause(err), "the service cannot be reached")
	}
	defer res.Body.Close()
	// A number takes at most some 25 bytes.
	limit := int64(len(out))*int64(m.expected())*32 + 64<<10
	raw, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return 0, m.fail(true, cause(err), "the service's answer broke off")
	case res.StatusCode != http.StatusOK:
		return retryAfter(res), m.refused(res.StatusCode, raw)
	case int64(len(raw)) > limit:
		return 0, m.fail(false, nil, "the service's answer is longer than %d bytes", limit)
	}
	return 0, m.decode(raw, out)
}

// cause leaves the address out of a network error: it is known, and errors are shown.
func cause(err error) error {
	if u := errors.Unwrap(err); u != nil {
		return u
	}
	return err
}

func (m *Model) expected() int {
	if m.c.Dimension > 0 {
		return m.c.Dimension
	}
	return MaxDimension
}

func retryAfter(res *http.Response) time.Duration {
	v := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, maxBackoff)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), maxBackoff)
	}
	return 0
}

// refused is the error of a status that is not 200.
func (m *Model) refused(status int, raw []byte) *embed.Error {
	again := status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
	return m.fail(again, nil, "the service answered %d: %s", status, m.excerpt(raw))
}

// excerpt is what a service says in an error, as far as it may be shown.
func (m *Model) excerpt(raw []byte) string {
	var doc struct {
		Error json.RawMessage `json:"error"`
	}
	text := string(raw)
	if json.Unmarshal(raw, &doc) == nil && len(doc.Error) > 0 {
		var inner struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(doc.Error, &inner) == nil && inner.Message != "" {
			text = inner.Message
		} else if json.Unmarshal(doc.Error, &text) != nil {
			text = string(doc.Error)
		}
	}
	if m.c.APIKey != "" {
		text = strings.ReplaceAll(text, m.c.APIKey, "…")
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	return text
}

// decode takes the vectors out of an answer, and trusts none of it.
func (m *Model) decode(raw []byte, out [][]float32) error {
	var answer struct {
		Data []struct {
			Index     *int      `json:"index"`
			Embedding []float64 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return m.fail(false, err, "the service's answer is not what an embeddings service answers")
	}
	if len(answer.Data) != len(out) {
		return m.fail(false, nil, "the service answered with %d vectors for %d texts", len(answer.Data), len(out))
	}
	clear(out)
	dim := m.c.Dimension
	for i, d := range answer.Data {
		at := i
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= len(out) || out[at] != nil {
			return m.fail(false, nil, "the service's answer gives index %d twice, or out of place", at)
		}
		if dim == 0 {
			dim = len(d.Embedding)
		}
		if len(d.Embedding) != dim || dim == 0 || dim > MaxDimension {
			return m.fail(false, nil, "the service answered with a vector of %d numbers where %d are expected", len(d.Embedding), dim)
		}
		v, ok := toFloats(d.Embedding)
		if !ok {
			return m.fail(false, nil, "the service answered with a vector that is zero, or holds a number outside of what a float32 holds")
		}
		out[at] = v
	}
	return nil
}

func toFloats(in []float64) ([]float32, bool) {
	out := make([]float32, len(in))
	zero := true
	for i, f := range in {
		out[i] = float32(f)
		if math.IsInf(float64(out[i]), 0) || math.IsNaN(f) {
			return nil, false
		}
		zero = zero && out[i] == 0
	}
	return out, !zero
}
