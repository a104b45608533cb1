//go:build !linux

package rows

import "errors"

const canMap = false

func mapFile(uintptr, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return nil }
