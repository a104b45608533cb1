//go:build !linux

package search

import "errors"

const canMap = false

func mapFile(string) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return nil }
