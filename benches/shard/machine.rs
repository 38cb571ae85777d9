//! What the bench asks of the machine: prefetches, huge pages, processor time, resident memory.
//! The only place with unsafe code.

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::time::{ClockId, clock_gettime};

/// Asks the processor to fetch the cache line of an item; an index past the end does nothing.
#[inline(always)]
pub fn prefetch<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = items.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and the address is that of a live item. SSE belongs to
        // every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(item).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = items.get(index);
}

/// Processor time that the calling thread has used.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes of memory that the process has in use; 0 where there is no /proc.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// What may stand in a [`Region`].
///
/// # Safety
/// All zero bytes are a value, values need not be dropped, and none is aligned beyond a page.
pub unsafe trait Plain {}

// SAFETY: an array of integers.
unsafe impl Plain for [u64; 4] {}
// SAFETY: an array of integers.
unsafe impl Plain for [u32; 16] {}

/// Zeroed items in memory of their own, on huge pages where the machine has them. It goes back to
/// the machine at the end and never passes through the allocator, whose state it would disturb.
pub struct Region<T: Plain> {
    start: NonNull<T>,
    len: usize,
}

impl<T: Plain> Region<T> {
    /// `len` items, at least one.
    pub fn zeroed(len: usize) -> std::io::Result<Self> {
        let len = len.max(1);
        let (read_write, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory
        // that anything else knows of.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), len * size_of::<T>(), read_write, private)? };
        Self::ask_for_huge_pages(start, len * size_of::<T>());
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    fn ask_for_huge_pages(start: *mut c_void, bytes: usize) {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the range is a mapping just made; the advice changes the size of its pages,
            // not its contents. A refusal leaves small pages.
            let _ = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxHugepage) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, bytes);
    }
}

impl<T: Plain> Deref for Region<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` items, begins at a page, was zeroed by the kernel, which
        // is a value of every `Plain`, and lives as long as `self`, which alone refers to it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Region<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this start and size, and nothing refers to it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
