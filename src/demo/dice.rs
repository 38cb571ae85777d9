//! The demo's only source of chance: SplitMix64, so that a seed is a story.

/// A seeded generator. The same seed gives the same throws, on every machine.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice that throw the sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice for one member of a crowd: what happens to it does not depend on the others.
    pub fn of_member(seed: u64, member: u64) -> Self {
        let mut mixer = Self::new(seed ^ member.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self::new(mixer.throw())
    }

    /// Further dice, whose throws have nothing to do with these.
    pub fn fork(&mut self) -> Self {
        Self::new(self.throw())
    }

    fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `end`, which must be above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.throw()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// A number from `low` to `high`, the low ones more often.
    pub fn soon(&mut self, low: i64, high: i64) -> i64 {
        self.between(low, high).min(self.between(low, high))
    }

    /// True in `per_mille` of a thousand throws.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of several, each as often as the others.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// One of several, as often as its weight says.
    pub fn weighted<'a, T>(&mut self, choices: &'a [(u64, T)]) -> &'a T {
        let mut throw = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if throw < *weight {
                return choice;
            }
            throw -= weight;
        }
        unreachable!("the throw lies below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_those_of_splitmix64() {
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.throw(), 6_457_827_717_110_365_317);
        assert_eq!(dice.throw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut dice = Dice::new(1);
        let mut seen = [0; 6];
        for _ in 0..600 {
            seen[(dice.between(-2, 3) + 2) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }

    #[test]
    fn weights_decide_how_often() {
        let mut dice = Dice::new(2);
        let rare = (0..1000).filter(|_| *dice.weighted(&[(9, false), (1, true)])).count();
        assert!((60..140).contains(&rare), "{rare}");
    }
}
