//! Places that hold about as many words each, divided by a sample of them.

use std::hint::select_unpredictable;

/// Words that are looked up side by side.
pub const LANES: usize = 8;

/// What divides the places: as many words as there are places, of which the last divides nothing.
#[derive(Default)]
pub struct Splitters(Vec<u64>);

impl Splitters {
    /// Divides so many places, a power of two, by a sample in the order of its words. Without one all
    /// words but the greatest belong to the first place.
    pub fn set<T>(&mut self, places: usize, sample: &[T], word: impl Fn(&T) -> u64) {
        self.0.clear();
        let splitters = (1..places).map(|place| sample.get(place * sample.len() / places));
        let splitters = splitters.map(|sampled| sampled.map_or(u64::MAX, &word));
        self.0.extend(splitters.chain([u64::MAX]));
    }

    /// How many places there are; none before they are divided.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The place of each word: how many splitters are no greater. Without a branch that depends on a
    /// word: half of them would be guessed wrong.
    #[inline]
    pub fn places(&self, words: &[u64; LANES]) -> [usize; LANES] {
        let splitters = &self.0[..];
        let mut places = [0; LANES];
        let mut half = splitters.len() / 2;
        while half > 0 {
            for (place, word) in places.iter_mut().zip(words) {
                let reached = splitters[*place + half - 1] <= *word;
                *place = select_unpredictable(reached, *place + half, *place);
            }
            half /= 2;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_word_stands_behind_every_splitter_that_is_no_greater(
            mut sample in prop::collection::vec(0..50u64, 0..40),
            words: [u64; LANES],
            bits in 0..6u32,
        ) {
            sample.sort_unstable();
            let words = words.map(|word| word % 60);
            let mut splitters = Splitters::default();
            splitters.set(1 << bits, &sample, |word| *word);
            let dividing = &splitters.0[..splitters.len() - 1];
            let expected = words.map(|word| dividing.iter().filter(|other| **other <= word).count());
            prop_assert_eq!(splitters.places(&words), expected);
        }
    }
}
