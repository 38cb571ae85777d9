//! Where the exceptions of a replay go. A file is there when it is whole, and not before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::wire::exception::{Context, ExceptionContainer, to_json};

use super::Format;
use crate::cli::Failure;
use crate::cli::interrupt::Unfinished;

/// The exceptions of a replay, on their way.
pub struct Output {
    name: String,
    writer: Writer,
    /// A file that takes its name only once it is whole.
    renamed: Option<(Unfinished, PathBuf)>,
    is_file: bool,
    is_seen: bool,
}

enum Writer {
    Lines(BufWriter<Target>),
    Container(ExceptionContainer<BufWriter<Target>>),
}

enum Target {
    Stdout(Stdout),
    File(File),
}

impl Output {
    /// Opens the output. `input` is the file that is read from, if it is one.
    pub fn open(path: &Path, format: Format, input: Option<&PathBuf>) -> Result<Self, Failure> {
        let name = match path.as_os_str() == "-" {
            true => "standard output".to_owned(),
            false => path.display().to_string(),
        };
        let failed = |error| Failure::of_output(&name, &error);
        let (target, renamed) = target(path, input).map_err(failed)?;
        let is_file = matches!(target, Target::File(_));
        let writer = BufWriter::with_capacity(64 << 10, target);
        let writer = match format {
            Format::Ndjson => Writer::Lines(writer),
            Format::Avro => Writer::Container(ExceptionContainer::new(writer).map_err(failed)?),
        };
        let is_seen = !is_file && io::stdout().is_terminal();
        Ok(Self { name, writer, renamed, is_file, is_seen })
    }

    /// What to call it in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it goes to a file rather than to standard output.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether somebody watches it scroll by.
    pub fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Writes one event.
    pub fn write(
        &mut self,
        event: &ExceptionEvent,
        topic: Option<&str>,
        partition: Option<i32>,
    ) -> io::Result<()> {
        let context = Context { topic, partition, detected_time_ms: None };
        match &mut self.writer {
            Writer::Lines(lines) => {
                let mut line = to_json(event, &context);
                line.push('\n');
                lines.write_all(line.as_bytes())
            }
            Writer::Container(container) => container.append(event, &context),
        }
    }

    /// Writes what is left; a file gets its name.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { name, writer, renamed, .. } = self;
        complete(writer, renamed).map_err(|error| Failure::of_output(&name, &error))
    }
}

fn complete(writer: Writer, renamed: Option<(Unfinished, PathBuf)>) -> io::Result<()> {
    let writer = match writer {
        Writer::Lines(lines) => lines,
        Writer::Container(container) => container.finish()?,
    };
    let target = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    match (target, renamed) {
        (Target::File(file), Some((unfinished, path))) => {
            // Some file systems find out only now that there is no room.
            file.sync_all()?;
            fs::rename(unfinished.path(), path)
        }
        (Target::File(mut file), None) => file.flush(),
        (Target::Stdout(mut stdout), _) => stdout.flush(),
    }
}

fn target(
    path: &Path,
    input: Option<&PathBuf>,
) -> io::Result<(Target, Option<(Unfinished, PathBuf)>)> {
    if path.as_os_str() == "-" {
        return Ok((Target::Stdout(io::stdout()), None));
    }
    // A link stays a link: what it points to is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if input == Some(&path) {
        return Err(io::Error::other("it is the input; name another file"));
    }
    let present = fs::metadata(&path).ok();
    if present.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(io::Error::other("it is a folder; name a file"));
    }
    if present.is_some_and(|metadata| !metadata.is_file()) {
        let file = OpenOptions::new().write(true).open(&path)?;
        return Ok((Target::File(file), None));
    }
    let unfinished = Unfinished::new(beside(&path)?);
    let file = OpenOptions::new().write(true).create_new(true).open(unfinished.path())?;
    Ok((Target::File(file), Some((unfinished, path))))
}

/// A name beside the output's own, in the same folder and so on the same file system.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(temporary))
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}
