//! Trace contexts of scans, as the header `traceparent` of W3C Trace Context has them.

use super::worker::Cut;
use crate::detector::exception::ExceptionEvent;

/// The header.
pub const TRACEPARENT: &str = "traceparent";

/// The context that a record came with, if it is in order: version, trace, span and flags.
pub fn context(headers: &[(String, Option<Vec<u8>>)]) -> Option<&str> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT))?;
    let text = std::str::from_utf8(value.as_ref()?).ok()?;
    is_in_order(text).then_some(text)
}

/// The context of the scan that closed an exception.
pub fn of<'c>(cut: &'c Cut, event: &ExceptionEvent) -> Option<&'c str> {
    Some(cut.traces.get(&event.closed_by.as_ref()?.offset)?)
}

fn is_in_order(text: &str) -> bool {
    let mut parts = text.split('-');
    let lengths = [2, 32, 16, 2];
    let hexadecimal = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut in_order =
        |length| parts.next().is_some_and(|part| part.len() == length && hexadecimal(part));
    let in_order = lengths.into_iter().all(&mut in_order);
    in_order
        && parts.next().is_none()
        && !text.starts_with("ff")
        && !text[3..35].bytes().all(|byte| byte == b'0')
        && !text[36..52].bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn with(value: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
        vec![("other".to_owned(), None), ("Traceparent".to_owned(), Some(value.to_vec()))]
    }

    #[test]
    fn only_a_context_that_is_in_order_is_handed_on() {
        assert_eq!(context(&with(GOOD.as_bytes())), Some(GOOD));
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-02",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(context(&with(bad.as_bytes())), None, "{bad}");
        }
        assert_eq!(context(&with(b"\xff\xfe")), None);
        assert_eq!(context(&[("traceparent".to_owned(), None)]), None);
        assert_eq!(context(&[]), None);
    }
}
