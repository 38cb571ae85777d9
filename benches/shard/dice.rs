//! Random numbers that are the same on every machine.

/// Xoshiro256++ by Blackman and Vigna, seeded by SplitMix64.
#[derive(Clone)]
pub struct Dice([u64; 4]);

impl Dice {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Self {
        Self([1, 2, 3, 4].map(|lane| mix(seed, lane)))
    }

    /// Any u64.
    pub fn roll(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// One of 0 to `end` − 1; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        below(self.roll(), end)
    }
}

/// One of 0 to `end` − 1 out of a random u64; 0 if `end` is 0.
pub fn below(roll: u64, end: usize) -> usize {
    ((u128::from(roll) * end as u128) >> 64) as usize
}

/// SplitMix64 of a value in a stream of its own: a random u64 that depends on both alone.
pub const fn mix(value: u64, stream: u64) -> u64 {
    let mut z = value.wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
