//! The C library's heap, in which the Kafka client keeps what it reads in advance. By itself it has up
//! to eight arenas for each processor, and each keeps what was needed in it once: after a restore, which
//! has clients of its own, that is much more than what a running instance needs.

/// Fewest arenas: threads of the client and ours take from the heap at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FEWEST: usize = 2;

/// One arena for each processor. To be said before there are many threads.
pub fn begin() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(FEWEST, usize::from);
        let arenas = i32::try_from(processors.max(FEWEST)).unwrap_or(i32::MAX);
        // SAFETY: the call changes a number of the heap's, under its lock.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}

/// What is free goes back to the system.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes the locks of the heap, and nothing that is in use is touched.
    unsafe {
        libc::malloc_trim(0)
    };
}
