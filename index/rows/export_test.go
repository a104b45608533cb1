package rows

import (
	"errors"
	"hash/crc32"

	"github.com/arrwdb/arrwdb/change"
)

// CRC is the checksum of the manifest, for tests that forge one.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Payload applies one payload to an empty image and returns the stamp and what is
// wrong with it.
func Payload(b []byte) (change.Stamp, string) {
	im := &image{geo: geometry{256, 4}, spaces: map[Key]map[uint64]blockImage{}}
	why := im.apply(b)
	return im.stamp, why
}

// Manifest parses a manifest and applies its frames.
func Manifest(b []byte) error {
	c, err := parseManifest("m", b, 1)
	if err != nil {
		return err
	}
	im := &image{geo: c.geo, spaces: map[Key]map[uint64]blockImage{}}
	for _, f := range c.frames {
		if why := im.apply(f.payload); why != "" {
			return errors.New(why)
		}
	}
	return nil
}
