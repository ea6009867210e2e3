package wire

import (
	"encoding/binary"
	"fmt"
)

// AppendItem appends a value as one of many.
func (c Codec[T]) AppendItem(b []byte, v *T) (_ []byte, err error) {
	start := len(b)
	if c.Fixed > 0 {
		b, err = c.Append(b, v)
	} else {
		b, err = c.Append(append(b, 0, 0, 0, 0), v)
	}
	if err != nil {
		return b[:start], err
	}
	if c.Fixed == 0 {
		n := len(b) - start - 4
		if n > MaxItem {
			return b[:start], fmt.Errorf("%d bytes are too many; the limit is %d", n, MaxItem)
		}
		binary.LittleEndian.PutUint32(b[start:], uint32(n))
	}
	return b, nil
}

// MaxItem bounds one of many encoded values.
const MaxItem = 1 << 30

// TakeItem takes the encoding of one of many values.
func (c Codec[T]) TakeItem(b []byte) (item, rest []byte, err error) {
	n := c.Fixed
	if n == 0 {
		if len(b) < 4 {
			return nil, nil, ErrCut
		}
		n, b = int(binary.LittleEndian.Uint32(b)), b[4:]
	}
	if n > len(b) {
		return nil, nil, ErrCut
	}
	return b[:n:n], b[n:], nil
}
