package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/arrwdb/arrwdb/change"
)

// Roles of an API key, each holding the rights of those before it.
const (
	RoleRead  = "read"
	RoleWrite = "write"
	RoleAdmin = "admin"
)

// MinSecretBytes is the least length of a key that an operator brings along.
const MinSecretBytes = 16

// A KeySpec is an API key as it is asked for.
type KeySpec struct {
	Name      string
	Role      string
	Libraries []string // empty: all; they need not exist yet
	ExpiresAt *time.Time
}

// A Key is an API key without its secret, of which only a SHA-256 is kept:
// secrets are 160 random bits, so a slow hash would protect nothing.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Libraries []string   `json:"libraries"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// Allows reports whether the key may see a library.
func (k *Key) Allows(library string) bool {
	return len(k.Libraries) == 0 || slices.Contains(k.Libraries, library)
}

// storedKey is a key in its record and its row.
type storedKey struct {
	Key
	Hash string `json:"hash"` // hex SHA-256 of the secret
}

// apiKeys holds every key in memory. Its lock guards both maps.
type apiKeys struct {
	mu     sync.RWMutex
	byHash map[[32]byte]*Key
	byID   map[string]*storedKey
}

// set is called by the store's view when a key was set, or revoked with nil.
func (k *apiKeys) set(id string, settings []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID, k.byHash = map[string]*storedKey{}, map[[32]byte]*Key{}
	}
	if old := k.byID[id]; old != nil {
		delete(k.byHash, hashOf(old.Hash))
		delete(k.byID, id)
	}
	if settings == nil {
		return
	}
	key := new(storedKey)
	if json.Unmarshal(settings, key) != nil {
		return // a row that cannot be read opens nothing
	}
	k.byID[id] = key
	k.byHash[hashOf(key.Hash)] = &key.Key
}

func hashOf(s string) (h [32]byte) {
	hex.Decode(h[:], []byte(s))
	return h
}

// CreateKey makes a key and returns it with its secret, which is kept nowhere.
func (db *DB) CreateKey(ctx context.Context, spec KeySpec) (Key, string, error) {
	secret := "arrw_" + strings.ToLower(rand.Text()) + strings.ToLower(rand.Text()[:6])
	key, err := db.addKey(ctx, spec, secret)
	return key, secret, err
}

// AdoptKey makes a key with a secret that the operator brings along, unless
// there is one with that secret already.
func (db *DB) AdoptKey(ctx context.Context, spec KeySpec, secret string) (Key, error) {
	if len(secret) < MinSecretBytes {
		return Key{}, change.BadField("key", "the key has %d bytes, at least %d are needed", len(secret), MinSecretBytes)
	}
	if k, ok := db.Authenticate(secret, time.Time{}); ok {
		return *k, nil
	}
	return db.addKey(ctx, spec, secret)
}

func (db *DB) addKey(ctx context.Context, spec KeySpec, secret string) (Key, error) {
	if spec.Role != RoleRead && spec.Role != RoleWrite && spec.Role != RoleAdmin {
		return Key{}, change.BadField("role", "role %s is not one of read, write, admin", quoted(spec.Role))
	}
	if len(spec.Name) > MaxNameBytes {
		return Key{}, change.BadField("name", "the name takes %d bytes, the limit is %d", len(spec.Name), MaxNameBytes)
	}
	for _, lib := range spec.Libraries {
		if !ValidLibraryID(lib) {
			return Key{}, change.BadField("libraries", "library id %s does not match %s", quoted(lib), LibraryIDPattern)
		}
	}
	sum := sha256.Sum256([]byte(secret))
	key := storedKey{Key: Key{ID: uuid.Must(uuid.NewV7()).String(), Name: spec.Name, Role: spec.Role, Libraries: spec.Libraries, ExpiresAt: spec.ExpiresAt}, Hash: hex.EncodeToString(sum[:])}
	if key.Libraries == nil {
		key.Libraries = []string{}
	}
	_, err := db.Commit(ctx, &Group{Atomic: true, control: []controlOp{{make: func(s *sequencer) (change.Record, *change.Error) {
		key.CreatedAt = time.UnixMicro(s.time).UTC()
		settings, err := json.Marshal(key)
		if err != nil {
			return change.Record{}, internalError(err)
		}
		c := change.Key{Time: s.time, ID: key.ID, Settings: settings}
		return change.Record{Kind: change.ControlKey, Body: c.Encode()}, nil
	}}}})
	return key.Key, err
}

// RevokeKey ends a key for good. It fails with NotFound.
func (db *DB) RevokeKey(ctx context.Context, id string) error {
	db.keys.mu.RLock()
	known := db.keys.byID[id] != nil
	db.keys.mu.RUnlock()
	if !known {
		return change.Errorf(change.NotFound, "there is no key %s", quoted(id))
	}
	_, err := db.Commit(ctx, &Group{Atomic: true, control: []controlOp{{make: func(s *sequencer) (change.Record, *change.Error) {
		c := change.Key{Time: s.time, ID: id}
		return change.Record{Kind: change.ControlKeyRevoked, Body: c.Encode()}, nil
	}}}})
	return err
}

// Keys returns all keys, oldest first.
func (db *DB) Keys() []Key {
	db.keys.mu.RLock()
	defer db.keys.mu.RUnlock()
	out := make([]Key, 0, len(db.keys.byID))
	for _, k := range db.keys.byID {
		out = append(out, k.Key)
	}
	slices.SortFunc(out, func(a, b Key) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// HasKeys reports whether any key is configured, expired ones too: a server
// whose keys have run out does not open itself to everybody.
func (db *DB) HasKeys() bool {
	db.keys.mu.RLock()
	defer db.keys.mu.RUnlock()
	return len(db.keys.byID) > 0
}

// Authenticate returns the key that secret opens at the time now.
func (db *DB) Authenticate(secret string, now time.Time) (*Key, bool) {
	sum := sha256.Sum256([]byte(secret))
	db.keys.mu.RLock()
	defer db.keys.mu.RUnlock()
	k := db.keys.byHash[sum]
	if k == nil || (k.ExpiresAt != nil && !now.Before(*k.ExpiresAt)) {
		return nil, false
	}
	return k, true
}

// KeyValid reports whether the key of an open stream still holds.
func (db *DB) KeyValid(id string, now time.Time) bool {
	db.keys.mu.RLock()
	defer db.keys.mu.RUnlock()
	k := db.keys.byID[id]
	return k != nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}
