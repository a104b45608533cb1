package cmd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An input is the files of an import, read one after the other as one stream of
// lines; "-" is standard input. gzip and zstd are known by their first bytes.
type input struct {
	names []string
	stdin io.Reader
	read  func(n int) // told of bytes read, before they are unpacked; may be nil

	usedStdin bool
	firsts    []uint64 // the line that each file begins with, as far as it was opened
}

var errStdinTwice = errors.New("standard input cannot be read a second time: run the import again with the same --source, and it goes on where it stopped")

// size returns the bytes of all files, -1 where that is not known.
func (in *input) size() int64 {
	var n int64
	for _, name := range in.names {
		st, err := os.Stat(name)
		if name == "-" || err != nil || !st.Mode().IsRegular() {
			return -1
		}
		n += st.Size()
	}
	return n
}

// where says in which file a line of the whole lies.
func (in *input) where(line uint64) (name string, of uint64) {
	name, of = "-", line
	for i, first := range in.firsts {
		if line >= first {
			name, of = in.names[i], line-first+1
		}
	}
	if name == "-" {
		name = "standard input"
	}
	return name, of
}

// open begins at the first line.
func (in *input) open() (io.ReadCloser, error) {
	in.firsts = in.firsts[:0]
	return &inputFiles{in: in, line: 1, atStart: true}, nil
}

// inputFiles reads the files one after the other.
type inputFiles struct {
	in      *input
	next    int // of names
	file    io.ReadCloser
	text    io.Reader
	line    uint64 // of the next byte
	atStart bool   // the next byte begins a line
}

func (f *inputFiles) Read(p []byte) (int, error) {
	for {
		if f.text == nil {
			if f.next == len(f.in.names) {
				return 0, io.EOF
			}
			if !f.atStart && len(p) > 0 { // a file whose last line has no end
				p[0] = '\n'
				f.line, f.atStart = f.line+1, true
				return 1, nil
			}
			if err := f.openNext(); err != nil {
				return 0, err
			}
		}
		n, err := f.text.Read(p)
		if n > 0 {
			f.line += uint64(bytes.Count(p[:n], []byte{'\n'}))
			f.atStart = p[n-1] == '\n'
		}
		if err == io.EOF {
			f.text = nil
			err = f.file.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (f *inputFiles) openNext() error {
	name := f.in.names[f.next]
	if name == "-" {
		if f.in.usedStdin {
			return errStdinTwice
		}
		f.in.usedStdin = true
		f.file = io.NopCloser(f.in.stdin)
	} else {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		f.file = file
	}
	r := bufio.NewReaderSize(&countedReader{f.file, f.in.read}, 64<<10)
	head, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	f.text = r
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		f.text, err = gzip.NewReader(r)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r); err == nil {
			f.text = z.IOReadCloser()
		}
	default:
		err = nil
	}
	f.next++
	f.in.firsts = append(f.in.firsts, f.line)
	return err
}

func (f *inputFiles) Close() error {
	if f.text == nil {
		return nil
	}
	f.text = nil
	return f.file.Close()
}

type countedReader struct {
	r    io.Reader
	told func(int)
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.told != nil {
		c.told(n)
	}
	return n, err
}
