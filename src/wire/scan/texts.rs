//! Keeps texts that could not be borrowed from a payload.

use std::cell::{Cell, OnceCell};

/// How many texts the first chunk holds; each further one twice as many as the one before.
const FIRST_CHUNK: usize = 16;

/// Texts that stay where they are while more are added: JSON with escapes has to be unescaped, and
/// many scans of one batch are alive together.
#[derive(Debug, Default)]
pub(super) struct Texts {
    first: OnceCell<Box<Chunk>>,
}

#[derive(Debug)]
struct Chunk {
    texts: Box<[OnceCell<Box<str>>]>,
    used: Cell<usize>,
    next: OnceCell<Box<Chunk>>,
}

impl Texts {
    /// Keeps a text for as long as this is not cleared.
    pub(super) fn keep(&self, text: &str) -> &str {
        let mut chunk = self.first.get_or_init(|| Chunk::of(FIRST_CHUNK));
        while chunk.used.get() == chunk.texts.len() {
            chunk = chunk.next.get_or_init(|| Chunk::of(chunk.texts.len() * 2));
        }
        let place = chunk.used.get();
        chunk.used.set(place + 1);
        chunk.texts[place].get_or_init(|| text.into())
    }

    /// Forgets all texts.
    pub(super) fn clear(&mut self) {
        self.first.take();
    }
}

impl Chunk {
    fn of(length: usize) -> Box<Self> {
        let texts = (0..length).map(|_| OnceCell::new()).collect();
        Box::new(Self { texts, used: Cell::new(0), next: OnceCell::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_while_more_are_kept() {
        let mut texts = Texts::default();
        let kept: Vec<&str> = (0..1000).map(|n| texts.keep(&n.to_string())).collect();
        for (n, text) in kept.iter().enumerate() {
            assert_eq!(*text, n.to_string());
        }
        texts.clear();
        assert_eq!(texts.keep("again"), "again");
    }
}
