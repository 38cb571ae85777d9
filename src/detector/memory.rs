//! Memory in blocks of 2 MiB. All unsafe blocks of the detector are here; elsewhere types only
//! promise to be [`Plain`].
//!
//! A block is one huge page where the system gives huge pages, so that a random access misses the
//! TLB no more than it must; where it gives none, everything works on small pages. Blocks never
//! move, so that what stands in them never does. The first touch of a block costs up to
//! milliseconds: [`BlockSource`] lets somebody off the hot thread have blocks ready, and take them
//! back.

use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ptr::NonNull;

/// Bytes of a block.
pub const BLOCK: usize = 2 << 20;
const PAGE: usize = 4096;

/// Where blocks come from and go to.
pub trait BlockSource: Send + Sync {
    /// A block whose bytes are all zero. `huge`: as a huge page, if there are any.
    fn take(&self, huge: bool) -> Block;

    /// Blocks that are not needed any more.
    fn give_back(&self, blocks: Vec<Block>);
}

/// Blocks straight from the system.
pub struct SystemBlocks;

impl BlockSource for SystemBlocks {
    fn take(&self, huge: bool) -> Block {
        Block::map(huge)
    }

    fn give_back(&self, blocks: Vec<Block>) {
        drop(blocks);
    }
}

/// [`BLOCK`] bytes of its own, zero at first.
///
/// Invariant: `start` is the start of a mapping of `BLOCK` bytes, readable and writable, aligned to
/// a page at least, that nothing else refers to.
pub struct Block {
    start: NonNull<u8>,
}

// SAFETY: the block owns its mapping; no thread has a claim on it.
unsafe impl Send for Block {}
// SAFETY: a shared block gives shared access only.
unsafe impl Sync for Block {}

impl Block {
    /// A block from the system.
    ///
    /// # Panics
    /// When the system has no memory left to map.
    pub fn map(huge: bool) -> Self {
        // To be aligned to its size, a block is cut out of twice as much.
        let length = if huge { 2 * BLOCK } else { BLOCK };
        let mapping = map_pages(length);
        if !huge {
            return Self { start: mapping };
        }
        let before = mapping.as_ptr().align_offset(BLOCK);
        // SAFETY: `before` is less than BLOCK, so the block and both ends lie within the mapping;
        // the ends are given back and nobody refers to them.
        let start = unsafe {
            let start = mapping.add(before);
            unmap_pages(mapping, before);
            unmap_pages(start.add(BLOCK), BLOCK - before);
            start
        };
        advise_huge(start);
        Self { start }
    }

    /// Touches every page, so that no later access has to wait for the system.
    pub fn touch(&mut self) {
        for page in (0..BLOCK).step_by(PAGE) {
            // SAFETY: `page` is less than BLOCK; the block is borrowed exclusively. A volatile
            // write of what is there already cannot be left out by the compiler.
            unsafe {
                let byte = self.start.add(page);
                byte.write_volatile(byte.read_volatile());
            }
        }
    }

    /// Makes every byte zero again.
    pub fn wipe(&mut self) {
        // SAFETY: the BLOCK bytes from `start` are writable, and the block is borrowed exclusively.
        unsafe { self.start.write_bytes(0, BLOCK) }
    }

    /// Whether it can be one huge page: it is aligned to its size. One that was not asked to be huge
    /// seldom is.
    pub fn can_be_huge(&self) -> bool {
        self.start.addr().get().is_multiple_of(BLOCK)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block owns its BLOCK bytes, and nobody can refer to them after this.
        unsafe { unmap_pages(self.start, BLOCK) }
    }
}

fn map_pages(length: usize) -> NonNull<u8> {
    // SAFETY: a new anonymous mapping at an address of the system's choice touches nothing that
    // exists.
    let mapping = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    match NonNull::new(mapping.cast::<u8>()) {
        Some(start) if mapping != libc::MAP_FAILED => start,
        _ => panic!("the system has no memory left: {length} bytes could not be mapped"),
    }
}

/// # Safety
/// The `length` bytes from `start` are mapped, whole pages, and nothing refers to them.
unsafe fn unmap_pages(start: NonNull<u8>, length: usize) {
    if length > 0 {
        // SAFETY: as the caller promises.
        unsafe { libc::munmap(start.as_ptr().cast(), length) };
    }
}

/// Asks for a huge page; without any the small ones do.
fn advise_huge(start: NonNull<u8>) {
    #[cfg(target_os = "linux")]
    // SAFETY: the BLOCK bytes from `start` are mapped; the advice changes no content.
    unsafe {
        libc::madvise(start.as_ptr().cast(), BLOCK, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = start;
}

/// Values that may begin as zero bytes and need no drop.
///
/// # Safety
/// All bytes zero are a valid value, the size is a power of two up to [`BLOCK`], and the alignment
/// at most that of a page.
pub unsafe trait Plain: Copy {}

// SAFETY: zero bytes are a number; the size is 4, the alignment 4.
unsafe impl Plain for u32 {}

/// Values by number, dense in blocks; they never move. Where there is no block there is no value.
pub struct Slab<T> {
    blocks: Vec<Option<Block>>,
    values: PhantomData<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), values: PhantomData }
    }
}

impl<T: Plain> Slab<T> {
    /// Values of a block.
    pub const PER_BLOCK: usize = {
        assert!(size_of::<T>().is_power_of_two() && size_of::<T>() <= BLOCK);
        assert!(align_of::<T>() <= PAGE);
        BLOCK / size_of::<T>()
    };

    /// The value of a number, if its block is there.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        let block = self.blocks.get(number / Self::PER_BLOCK)?.as_ref()?;
        // SAFETY: `place` gives an address within the block, aligned as T; T is plain, so what
        // stands there is a value; it is borrowed as long as the slab is.
        Some(unsafe { Self::place(block, number).as_ref() })
    }

    /// The value of a number, to change it, if its block is there.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let block = self.blocks.get(number / Self::PER_BLOCK)?.as_ref()?;
        // SAFETY: as in `get`; the slab is borrowed exclusively, and with it the block.
        Some(unsafe { Self::place(block, number).as_mut() })
    }

    /// Hints that the value of a number is wanted soon; does nothing where there is none.
    #[inline]
    pub fn prefetch(&self, number: usize) {
        if let Some(Some(block)) = self.blocks.get(number / Self::PER_BLOCK) {
            prefetch(Self::place(block, number).as_ptr());
        }
    }

    /// Makes sure that the value of a number is there.
    #[inline]
    pub fn provide(&mut self, number: usize, source: &dyn BlockSource) {
        let block = number / Self::PER_BLOCK;
        if self.blocks.get(block).is_none_or(Option::is_none) {
            self.provide_block(block, source);
        }
    }

    /// Makes sure that the first block is there, as a huge page like all behind it: for what is known
    /// to become large.
    pub fn begin_large(&mut self, source: &dyn BlockSource) {
        if self.blocks.is_empty() {
            self.blocks.push(Some(source.take(true)));
        }
    }

    /// Gives up the block that holds a number, if it is there.
    pub fn give_up(&mut self, number: usize, source: &dyn BlockSource) {
        if let Some(block) = self.blocks.get_mut(number / Self::PER_BLOCK)
            && let Some(block) = block.take()
        {
            source.give_back(vec![block]);
        }
    }

    /// Gives up every block.
    pub fn clear(&mut self, source: &dyn BlockSource) {
        let blocks: Vec<Block> = self.blocks.drain(..).flatten().collect();
        if !blocks.is_empty() {
            source.give_back(blocks);
        }
    }

    /// Makes the first `count` values those of another slab, which has them. Blocks that are there
    /// are used again, so that nothing is mapped where enough were provided before.
    pub fn copy_from(&mut self, other: &Self, count: usize, source: &dyn BlockSource) {
        for start in (0..count).step_by(Self::PER_BLOCK) {
            self.provide(start, source);
            let block = start / Self::PER_BLOCK;
            if let (Some(Some(to)), Some(Some(from))) =
                (self.blocks.get_mut(block), other.blocks.get(block))
            {
                let bytes = (count - start).min(Self::PER_BLOCK) * size_of::<T>();
                // SAFETY: `bytes` is at most BLOCK, the size of both blocks; `to` is borrowed
                // exclusively, so they are two.
                unsafe { to.start.copy_from_nonoverlapping(from.start, bytes) }
            }
        }
    }

    /// Provides blocks for `count` values and touches every page of those that were not there.
    pub fn prepare(&mut self, count: usize, source: &dyn BlockSource) {
        for start in (0..count).step_by(Self::PER_BLOCK) {
            let block = start / Self::PER_BLOCK;
            if self.blocks.get(block).is_none_or(Option::is_none) {
                self.provide(start, source);
                self.blocks[block].iter_mut().for_each(Block::touch);
            }
        }
    }

    /// For how many values there are blocks, from the first on without a gap.
    pub fn provided(&self) -> usize {
        self.blocks.iter().take_while(|block| block.is_some()).count() * Self::PER_BLOCK
    }

    /// The first `count` values, as far as their blocks are there, in pieces of a block.
    pub fn pieces(&self, count: usize) -> impl Iterator<Item = &[T]> {
        let starts = (0..count).step_by(Self::PER_BLOCK);
        self.blocks.iter().zip(starts).filter_map(move |(block, start)| {
            let values = block.as_ref()?.start.cast::<T>();
            let len = (count - start).min(Self::PER_BLOCK);
            // SAFETY: `len` values end within the block, which is aligned to a page; T is plain, so
            // they are values; they are borrowed as long as the slab is.
            Some(unsafe { std::slice::from_raw_parts(values.as_ptr(), len) })
        })
    }

    /// The first block is no huge page, unless [`Self::begin_large`] has provided it: most of what is
    /// small stays small.
    #[cold]
    fn provide_block(&mut self, block: usize, source: &dyn BlockSource) {
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        self.blocks[block] = Some(source.take(block > 0));
    }

    /// Where a number stands within its block.
    #[inline]
    fn place(block: &Block, number: usize) -> NonNull<T> {
        let place = number % Self::PER_BLOCK;
        // SAFETY: `place` is less than PER_BLOCK, so the value ends within the block; blocks are
        // aligned to pages and sizes are powers of two, so it is aligned.
        unsafe { block.start.cast::<T>().add(place) }
    }
}

/// Hints that a value is wanted soon.
#[inline]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see, at any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// One bit for each of these bytes that is the given one, the first lowest.
#[inline]
pub fn equal_bytes(bytes: &[u8; 16], byte: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
        };
        // SAFETY: SSE2 belongs to every x86-64; 16 bytes are read, as many as there are.
        let mask = unsafe {
            let all = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_set1_epi8(byte as i8)))
        };
        mask as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    bytes.iter().rev().fold(0, |mask, &other| mask << 1 | u32::from(other == byte))
}

#[cfg(test)]
// SAFETY: any bytes are a number; 8 is a power of two.
unsafe impl Plain for u64 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_as_zero_and_stay_where_they_are() {
        let mut slab: Slab<u64> = Slab::default();
        let per_block = Slab::<u64>::PER_BLOCK;
        assert!(slab.get(0).is_none());
        for number in [0, 1, per_block - 1, per_block, 3 * per_block + 5] {
            slab.provide(number, &SystemBlocks);
            assert_eq!(slab.get(number), Some(&0));
            *slab.get_mut(number).unwrap() = number as u64 + 1;
        }
        assert!(slab.get(2 * per_block).is_none(), "a block that nobody asked for");
        slab.prefetch(2 * per_block);
        for number in [0, 1, per_block - 1, per_block, 3 * per_block + 5] {
            slab.prefetch(number);
            assert_eq!(slab.get(number), Some(&(number as u64 + 1)));
        }
    }

    #[test]
    fn a_block_given_up_is_gone_and_comes_back_as_zero() {
        let mut slab: Slab<u32> = Slab::default();
        slab.provide(7, &SystemBlocks);
        *slab.get_mut(7).unwrap() = 7;
        slab.give_up(7, &SystemBlocks);
        assert!(slab.get(7).is_none());
        slab.give_up(7, &SystemBlocks);
        slab.provide(7, &SystemBlocks);
        assert_eq!(slab.get(7), Some(&0));
        slab.clear(&SystemBlocks);
        assert!(slab.get(7).is_none());
    }

    #[test]
    fn bytes_are_found_where_they_stand() {
        let bytes = [7, 0, 0, 255, 1, 7, 3, 4, 5, 0, 9, 7, 8, 8, 8, 7];
        assert_eq!(equal_bytes(&bytes, 7), 0b1000_1000_0010_0001);
        assert_eq!(equal_bytes(&bytes, 0), 0b0010_0000_0110);
        assert_eq!(equal_bytes(&bytes, 255), 0b1000);
        assert_eq!(equal_bytes(&bytes, 2), 0);
        assert_eq!(equal_bytes(&[0; 16], 0), 0xffff);
    }

    #[test]
    fn a_copy_holds_what_the_first_held_and_stays_when_that_changes() {
        let (mut slab, mut copy): (Slab<u64>, Slab<u64>) = Default::default();
        let count = Slab::<u64>::PER_BLOCK * 2 + 3;
        for number in 0..count {
            slab.provide(number, &SystemBlocks);
            *slab.get_mut(number).unwrap() = number as u64 + 1;
        }
        copy.prepare(Slab::<u64>::PER_BLOCK, &SystemBlocks);
        copy.copy_from(&slab, count, &SystemBlocks);
        *slab.get_mut(count - 1).unwrap() = 0;
        let copied: Vec<u64> = copy.pieces(count).flatten().copied().collect();
        assert!(copied.iter().copied().eq(1..=count as u64));
        assert_eq!(copy.pieces(5).map(<[u64]>::len).collect::<Vec<_>>(), [5]);
        assert_eq!(copy.get(count), Some(&0), "what was not asked for was copied");
    }

    #[test]
    fn what_begins_large_begins_in_a_huge_page_and_keeps_it() {
        let mut slab: Slab<u64> = Slab::default();
        slab.begin_large(&SystemBlocks);
        assert!(slab.blocks[0].as_ref().is_some_and(Block::can_be_huge));
        *slab.get_mut(7).unwrap() = 7;
        slab.begin_large(&SystemBlocks);
        slab.provide(7, &SystemBlocks);
        assert_eq!(slab.get(7), Some(&7));
    }

    #[test]
    fn a_wiped_block_is_empty() {
        let mut slab: Slab<u64> = Slab::default();
        slab.provide(0, &SystemBlocks);
        for number in [0, 7, Slab::<u64>::PER_BLOCK - 1] {
            *slab.get_mut(number).unwrap() = 7;
        }
        slab.blocks.iter_mut().flatten().for_each(Block::wipe);
        assert!((0..Slab::<u64>::PER_BLOCK).all(|number| slab.get(number) == Some(&0)));
    }

    #[test]
    fn touching_a_block_leaves_it_as_it_is() {
        for huge in [false, true] {
            let mut block = Block::map(huge);
            block.touch();
            let mut slab: Slab<u64> = Slab::default();
            slab.blocks.push(Some(block));
            assert!((0..Slab::<u64>::PER_BLOCK).all(|number| slab.get(number) == Some(&0)));
        }
    }
}
