//go:build !linux

package wal

import "github.com/cockroachdb/pebble/v2/vfs"

func truncate(vfs.File, int64) {}

func uncache(vfs.File) {}

func preallocate(f vfs.File, size, _ int64) error { return zeroFill(f, 0, size) }
