package backend

import (
	"bufio"
	"io"
	"slices"
)

// maxLine bounds a line of a command's standard error. A longer one is cut into several.
const maxLine = 4 << 10

// copyLines writes each line of in to out, until in ends. The last line need not have an end.
func copyLines(out io.Writer, in io.Reader) {
	if out == nil {
		out = io.Discard
	}
	for r := bufio.NewReaderSize(in, maxLine); ; {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			if line[len(line)-1] != '\n' {
				line = append(slices.Clip(line), '\n')
			}
			_, _ = out.Write(line)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}
