//! How far the input has been read, for whoever looks on.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, if that is a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// `length` of the input in bytes, where it is known. Exceptions that scroll by on the same
    /// terminal are progress enough.
    pub fn new(length: Option<u64>, output_is_seen: bool) -> Self {
        if output_is_seen {
            return Self(ProgressBar::hidden());
        }
        let (bar, template) = match length {
            Some(length) => {
                (ProgressBar::new(length), "{wide_bar} {percent:>3} %  {bytes_per_sec}  {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} read  {bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are good");
        Self(bar.with_style(style))
    }

    /// So many bytes have been read.
    pub fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// Does something else with standard error.
    pub fn aside(&self, say: impl FnOnce()) {
        self.0.suspend(say);
    }

    /// Clears the line.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
