//! What grows chunk by chunk, so that no growth moves what is there or takes longer than another.

/// Values by number that never move.
pub struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

/// Values of a chunk, as a power of two.
const CHUNK: u32 = 10;

impl<T> Chunks<T> {
    /// Adds a value; its number.
    pub fn push(&mut self, value: T) -> u32 {
        if self.len.is_multiple_of(1 << CHUNK) {
            // Small sets stay small: the first chunk grows as it is filled.
            let room = if self.len == 0 { 0 } else { 1 << CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(value);
        }
        self.len += 1;
        self.len - 1
    }

    /// How many values were added; all numbers are below this.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The value of a number, if it was added.
    #[inline]
    pub fn at(&self, id: u32) -> Option<&T> {
        self.chunks.get((id >> CHUNK) as usize)?.get(id as usize % (1 << CHUNK))
    }

    /// The value of a number that was added.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        &self.chunks[(id >> CHUNK) as usize][id as usize % (1 << CHUNK)]
    }

    /// The value of a number that was added, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[(id >> CHUNK) as usize][id as usize % (1 << CHUNK)]
    }
}
