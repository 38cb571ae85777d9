//! Writes the primitives of Avro's binary encoding.

/// A `long` (or an `int`): zigzag, seven bits a byte.
pub(crate) fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// `bytes`: the length, then the bytes.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    long(out, i64::try_from(bytes.len()).expect("memory holds fewer than 2^63 bytes"));
    out.extend_from_slice(bytes);
}

/// `string`: its bytes.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}
