//! Server-sent events: a stream of text, cut into events whatever pieces it comes in.

use reqwest::Response;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub name: String,
    /// What it says.
    pub data: String,
}

/// The events of an answer, one after another.
pub struct Events {
    response: Response,
    buffer: Buffer,
}

impl Events {
    /// Of an answer that has begun.
    pub fn of(response: Response) -> Self {
        Self { response, buffer: Buffer::default() }
    }

    /// The next one; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Event>, reqwest::Error> {
        loop {
            if let Some(event) = self.buffer.next() {
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// The next whole event; comments are none.
    fn next(&mut self) -> Option<Event> {
        loop {
            let (end, length) = self.end()?;
            let block: Vec<u8> = self.bytes.drain(..end + length).collect();
            if let Some(event) = event(&String::from_utf8_lossy(&block[..end])) {
                return Some(event);
            }
        }
    }

    /// Where the first empty line begins, and how long it is with the end of the line before.
    fn end(&self) -> Option<(usize, usize)> {
        let find = |mark: &[u8]| self.bytes.windows(mark.len()).position(|part| part == mark);
        let ends = [find(b"\n\n").map(|at| (at, 2)), find(b"\r\n\r\n").map(|at| (at, 4))];
        ends.into_iter().flatten().min()
    }
}

fn event(block: &str) -> Option<Event> {
    let mut name = "message".to_owned();
    let mut data: Option<String> = None;
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    data.map(|data| Event { name, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_whatever_pieces_they_come_in() {
        let text = ": alive\n\nid: a:0\nevent: exception\ndata: {\"facility\":\"Köln\"}\n\nevent: lagged\r\ndata:{\"missed\":3}\r\n\r\ndata: one\ndata: two\n\n";
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let expected = [
            event("exception", "{\"facility\":\"Köln\"}"),
            event("lagged", "{\"missed\":3}"),
            event("message", "one\ntwo"),
        ];
        for size in 1..text.len() {
            let mut buffer = Buffer::default();
            let mut found = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                buffer.bytes.extend_from_slice(chunk);
                found.extend(std::iter::from_fn(|| buffer.next()));
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_has_not_ended_is_no_event_yet() {
        let mut buffer = Buffer { bytes: b"data: half".to_vec() };
        assert_eq!(buffer.next(), None);
    }
}
