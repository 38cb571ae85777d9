//! Ctrl-C: what is half written is taken away, then the process ends as the signal has it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static WATCH: Once = Once::new();

/// A file that disappears when this is dropped or the process is interrupted.
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Watches over a file that is about to be created.
    pub fn new(path: PathBuf) -> Self {
        WATCH.call_once(watch);
        unfinished().push(path.clone());
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().retain(|path| *path != self.0);
        // After it was finished and renamed there is nothing left to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn unfinished() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for signals on a thread of its own, as the main one may be blocked on its input. Without
/// it an interruption leaves a temporary file behind, and nothing worse.
fn watch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let files = unfinished();
            for path in files.iter() {
                let _ = std::fs::remove_file(path);
            }
            let _ = emulate_default_handler(signal);
            std::process::exit(1);
        }
    });
}
