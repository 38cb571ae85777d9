//! Every text that some package refers to, once.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::interner::Interner;
use super::memo::{Memo, Words};
use super::memory::BlockSource;

/// Number of a text; [`NO_TEXT`] where there is none.
pub type TextId = u32;
/// Stands for an absent text.
pub const NO_TEXT: TextId = u32::MAX;

const HASH: FixedState = FixedState::with_seed(0x5ca2);

/// Texts by number. A number stays right as long as somebody holds it, and until the next sweep.
pub struct Texts {
    texts: Interner<Arc<str>>,
    memo: Memo,
}

impl Texts {
    /// None; the memory comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self { texts: Interner::new(source), memo: Memo::new() }
    }

    /// The number of a text that is there.
    #[inline]
    pub fn find(&self, text: &str) -> Option<TextId> {
        match Words::of(text) {
            Some(words) => self.memo.get(&words).or_else(|| self.find_anywhere(text)),
            None => self.find_anywhere(text),
        }
    }

    fn find_anywhere(&self, text: &str) -> Option<TextId> {
        self.texts.find(HASH.hash_one(text), |other| **other == *text)
    }

    /// Holds a text.
    pub fn hold(&mut self, text: &str) -> TextId {
        let words = Words::of(text);
        if let Some(known) = words.as_ref().and_then(|words| self.memo.get(words)) {
            self.texts.hold_again(known);
            return known;
        }
        let same = |other: &Arc<str>| **other == *text;
        let (id, _) = self.texts.hold(HASH.hash_one(text), same, || text.into());
        if let Some(words) = words {
            self.memo.keep(&words, id);
        }
        id
    }

    /// Holds a text that somebody holds already, if it is one.
    pub fn hold_again(&mut self, id: TextId) {
        if id != NO_TEXT {
            self.texts.hold_again(id);
        }
    }

    /// One holder less of each of these that is a text.
    pub fn release(&mut self, ids: &[TextId]) {
        for &id in ids.iter().filter(|&&id| id != NO_TEXT) {
            self.texts.release(id);
        }
    }

    /// The text of a number, if it is one.
    pub fn get(&self, id: TextId) -> Option<&Arc<str>> {
        if id == NO_TEXT { None } else { Some(self.texts.get(id)) }
    }

    /// Gives up what nobody has held for a while.
    #[inline]
    pub fn sweep(&mut self) {
        while let Some((_, text)) = self.texts.sweep() {
            if let Some(words) = Words::of(&text) {
                self.memo.forget(&words);
            }
        }
    }

    /// Keeps a text that is not there yet for so many holders.
    pub fn load(&mut self, text: &str, holders: u32) -> TextId {
        self.texts.load(HASH.hash_one(text), text.into(), holders)
    }

    /// All numbers of texts are below this.
    pub fn slots(&self) -> usize {
        self.texts.slots()
    }

    /// How many distinct texts are kept.
    pub fn len(&self) -> usize {
        self.texts.len()
    }
}
