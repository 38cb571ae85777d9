//! The texts of a profile as words of one cache line, to tell at a glance that a scan brings none
//! that its package lacks.
//!
//! Most feeds say the same of a package with every scan. So the texts of such a scan are compared
//! with those that its package has, and looked up only where they differ. A profile's image is made
//! when it is first asked for: feeds that say it all with the first scan need none.

use std::sync::Arc;

use crate::detector::memo::two_words;
use crate::detector::memory::{BlockSource, Plain, Slab};

/// Words of each text: service, direction, destination country, shipper, value tier.
const WORDS: [usize; 5] = [2, 1, 1, 2, 1];

/// Five texts, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Image {
    words: [u64; 7],
    /// In bytes; zero where there is no text.
    lengths: [u8; 5],
    is_made: bool,
}

// SAFETY: zero bytes are an image that was not made; the size is 64, the alignment 64.
unsafe impl Plain for Image {}

impl Image {
    /// Of no texts.
    const EMPTY: Self = Self { words: [0; 7], lengths: [0; 5], is_made: true };
    /// Of a profile with a text that does not fit: brings something new to whoever asks.
    const TOO_LONG: Self = Self { lengths: [u8::MAX; 5], ..Self::EMPTY };

    /// The image of these texts; `None` where one is too long.
    #[inline(always)]
    pub fn of(texts: [Option<&str>; 5]) -> Option<Self> {
        let mut image = Self::EMPTY;
        let mut at = 0;
        for (number, (text, words)) in texts.into_iter().zip(WORDS).enumerate() {
            let bytes = text.unwrap_or_default().as_bytes();
            if bytes.len() > 8 * words {
                return None;
            }
            image.words[at..at + words].copy_from_slice(&two_words(bytes)[..words]);
            image.lengths[number] = bytes.len() as u8;
            at += words;
        }
        Some(image)
    }

    /// Whether all texts that are brought are those of this image; it may have others beside them.
    #[inline(always)]
    pub fn has(&self, brought: &Self) -> bool {
        let mut differences = 0;
        let mut at = 0;
        for (number, words) in WORDS.into_iter().enumerate() {
            let lengths = [self, brought].map(|image| image.lengths[number]);
            let mut different = u64::from(lengths[0] ^ lengths[1]);
            for word in at..at + words {
                different |= self.words[word] ^ brought.words[word];
            }
            // No branch on which texts a scan brings.
            differences |= different & (u64::from(lengths[1] != 0)).wrapping_neg();
            at += words;
        }
        differences == 0
    }
}

/// Images by number of the profile, as far as they were asked for.
pub struct Images {
    images: Slab<Image>,
    source: Arc<dyn BlockSource>,
}

impl Images {
    /// None; the memory comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self { images: Slab::default(), source }
    }

    /// The image of a profile; `texts` gives its texts where none was made yet.
    #[inline]
    pub fn of<'t>(&mut self, profile: u32, texts: impl FnOnce() -> [Option<&'t str>; 5]) -> &Image {
        self.images.provide(profile as usize, &*self.source);
        let image = self.images.get_mut(profile as usize).expect("it was provided");
        if !image.is_made {
            *image = Image::of(texts()).unwrap_or(Image::TOO_LONG);
        }
        image
    }

    /// The number of the profile is going to be another's.
    pub fn forget(&mut self, profile: u32) {
        if let Some(image) = self.images.get_mut(profile as usize) {
            image.is_made = false;
        }
    }

    /// Hints that the image of a profile is wanted soon.
    #[inline]
    pub fn prefetch(&self, profile: u32) {
        self.images.prefetch(profile as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::memory::SystemBlocks;
    use proptest::prelude::*;

    type Texts = [Option<String>; 5];

    fn borrowed(texts: &Texts) -> [Option<&str>; 5] {
        texts.each_ref().map(Option::as_deref)
    }

    fn texts() -> impl Strategy<Value = Texts> {
        let longer = "[ab\u{0}]{1,18}".prop_map(Some);
        let shorter = "[ab\u{0}]{1,9}".prop_map(Some);
        let [one, two] = [longer.boxed(), shorter.boxed()];
        [one.clone(), two.clone(), two.clone(), one, two].map(|text| prop_oneof![Just(None), text])
    }

    proptest! {
        #[test]
        fn an_image_has_what_is_brought_only_where_every_text_is_the_same(
            held in texts(), other in texts(), from_held in prop::array::uniform5(0..3u8)
        ) {
            // Most texts that are brought are those that are held.
            let brought: Texts = std::array::from_fn(|at| match from_held[at] {
                0 => None,
                1 => held[at].clone(),
                _ => other[at].clone(),
            });
            let mut images = Images::new(Arc::new(SystemBlocks));
            let image = *images.of(7, || borrowed(&held));
            let fits = |texts: &Texts| {
                texts.iter().zip(WORDS).all(|(text, words)| text.as_ref().is_none_or(|text| text.len() <= 8 * words))
            };
            prop_assert_eq!(Image::of(borrowed(&brought)).is_some(), fits(&brought));
            if let Some(seen) = Image::of(borrowed(&brought)) {
                let same = brought.iter().zip(&held).all(|(text, held)| text.is_none() || text == held);
                let nothing = brought.iter().all(Option::is_none);
                prop_assert_eq!(image.has(&seen), nothing || same && fits(&held));
            }
        }
    }

    #[test]
    fn an_image_is_made_once_and_anew_for_another_profile_of_the_same_number() {
        let texts = |service| [Some(service), None, Some("US"), None, None];
        let mut images = Images::new(Arc::new(SystemBlocks));
        images.prefetch(50_000);
        images.forget(50_000);
        let ground = *images.of(50_000, || texts("ground"));
        assert!(ground.has(&Image::of(texts("ground")).unwrap()));
        assert_eq!(*images.of(50_000, || unreachable!("it is there")), ground);
        images.forget(50_000);
        let express = *images.of(50_000, || texts("express"));
        assert!(!express.has(&Image::of(texts("ground")).unwrap()));
    }

    #[test]
    fn a_profile_with_a_long_text_has_nothing_but_what_brings_nothing() {
        let mut images = Images::new(Arc::new(SystemBlocks));
        let long = "a service with a long name";
        let image = *images.of(0, || [Some(long), None, None, None, None]);
        assert_eq!(*images.of(0, || unreachable!("it is told once")), image);
        assert!(!image.has(&Image::of([None, None, Some("US"), None, None]).unwrap()));
        assert!(image.has(&Image::of([None; 5]).unwrap()));
    }
}
