package harness

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
)

// A codec turns values of one type into bytes and back, to cross a process
// boundary. The encoding is chosen once per task, from the type.
type codec[T any] struct {
	append func(b []byte, v *T) ([]byte, error)
	decode func(b []byte, v *T) error // may keep b
}

// codecFor picks, in this order: bytes and strings as they are; the type's own
// binary form; the fixed-size binary form of encoding/binary; JSON.
func codecFor[T any]() codec[T] {
	var zero T
	switch any(&zero).(type) {
	case *[]byte:
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*[]byte)...), nil },
			decode: func(b []byte, v *T) error { *any(v).(*[]byte) = b; return nil },
		}
	case *string:
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*string)...), nil },
			decode: func(b []byte, v *T) error { *any(v).(*string) = string(b); return nil },
		}
	}
	_, appends := any(&zero).(encoding.BinaryAppender)
	_, parses := any(&zero).(encoding.BinaryUnmarshaler)
	switch {
	case appends && parses:
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return any(v).(encoding.BinaryAppender).AppendBinary(b) },
			decode: func(b []byte, v *T) error { return any(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b) },
		}
	case fixedSize(reflect.TypeFor[T]()):
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return binary.Append(b, binary.LittleEndian, v) },
			decode: func(b []byte, v *T) error {
				n, err := binary.Decode(b, binary.LittleEndian, v)
				if err == nil && n != len(b) {
					err = fmt.Errorf("%d bytes left over", len(b)-n)
				}
				return err
			},
		}
	}
	return codec[T]{
		append: func(b []byte, v *T) ([]byte, error) {
			j, err := json.Marshal(v)
			return append(b, j...), err
		},
		decode: func(b []byte, v *T) error { return json.Unmarshal(b, v) },
	}
}

// fixedSize reports whether encoding/binary can carry the whole type: numbers
// of a stated size, and arrays and structs of them with exported fields only.
func fixedSize(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return fixedSize(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() || !fixedSize(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}
