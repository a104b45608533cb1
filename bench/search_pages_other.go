//go:build !linux

package bench

func pages(size int) ([]byte, func()) { return make([]byte, size), func() {} }
