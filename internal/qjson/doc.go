// Package qjson reads and writes JSON the way QEMU does.
//
// A value is one of nil, bool, int64, uint64 (only above math.MaxInt64),
// float64, string, []any and map[string]any; nothing else is ever produced.
//
// Reading differs from RFC 8259 in these points, all of them QEMU's:
//
//   - strings may be quoted with ' as well as with ", and \' is an escape;
//   - a key may not occur twice in an object;
//   - Unicode noncharacters and lone surrogates are refused;
//   - U+0000 may also be written as the bytes C0 80 (modified UTF-8);
//   - nesting, token size and token count are bounded;
//   - errors have QEMU's texts, and after one the stream is picked up again at
//     the next structural character, control character or byte FE or FF.
//
// Writing puts a space after ':' and ',', escapes all that is not printable
// ASCII, prints floating-point numbers with %.17g and walks an object in the
// order of QEMU's hash table (see [Keys]), so that output is deterministic.
package qjson
