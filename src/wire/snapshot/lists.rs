//! The dictionaries of a snapshot, a frame or more each, compressed.

use std::io::{self, Write};

use super::bytes::{Bytes, put, put_bytes};
use super::frame::{Frame, FrameWriter, Kind, MOST_RAW, RAW, SnapshotError};
use super::planes::{LEVEL, Unpacker};
use crate::detector::snapshot::{Contents, ProfileTexts};

/// Entries of one kind on their way into frames.
struct ListWriter<'f, 'w, W> {
    frames: &'f mut FrameWriter<'w, W>,
    kind: Kind,
    entries: usize,
    raw: Vec<u8>,
}

impl<W: Write> ListWriter<'_, '_, W> {
    fn entry(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        write(&mut self.raw);
        self.entries += 1;
        if self.raw.len() >= RAW { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.entries > 0 {
            packed(self.frames, self.kind, self.entries, &self.raw)?;
            self.entries = 0;
            self.raw.clear();
        }
        Ok(())
    }
}

/// Writes a frame with compressed content.
pub(super) fn packed<W: Write>(
    frames: &mut FrameWriter<'_, W>,
    kind: Kind,
    entries: usize,
    raw: &[u8],
) -> io::Result<()> {
    if raw.len() > MOST_RAW {
        return Err(io::Error::other("a text of a snapshot is too long"));
    }
    let content = zstd::bulk::compress(raw, LEVEL)?;
    frames.frame(kind, (entries, raw.len()), &content)
}

/// Writes all lists.
pub(super) fn write<W: Write>(
    frames: &mut FrameWriter<'_, W>,
    contents: &Contents,
) -> io::Result<()> {
    let mut list = |kind, write: &mut dyn FnMut(&mut ListWriter<'_, '_, W>) -> io::Result<()>| {
        let mut list = ListWriter { frames, kind, entries: 0, raw: Vec::new() };
        write(&mut list)?;
        list.flush()
    };
    let texts = |list: &mut ListWriter<'_, '_, W>, texts: &[Box<str>]| {
        texts.iter().try_for_each(|text| list.entry(|raw| put_bytes(raw, text.as_bytes())))
    };
    list(Kind::Carriers, &mut |list| texts(list, &contents.carriers))?;
    list(Kind::Texts, &mut |list| texts(list, &contents.texts))?;
    list(Kind::Profiles, &mut |list| {
        contents.profiles.iter().try_for_each(|profile| {
            list.entry(|raw| {
                put(raw, profile.carrier.into());
                profile.texts.iter().for_each(|text| put(raw, (*text).into()));
            })
        })
    })?;
    list(Kind::Places, &mut |list| {
        contents.places.iter().try_for_each(|place| {
            list.entry(|raw| place.iter().for_each(|text| put(raw, (*text).into())))
        })
    })?;
    list(Kind::LongNumbers, &mut |list| {
        contents.long_numbers.iter().try_for_each(|(carrier, number)| {
            list.entry(|raw| {
                put(raw, (*carrier).into());
                put_bytes(raw, number.as_bytes());
            })
        })
    })?;
    list(Kind::LongLags, &mut |list| {
        contents.long_lags.iter().try_for_each(|(key, set_at)| {
            list.entry(|raw| {
                raw.extend(key.to_le_bytes());
                raw.extend(set_at.to_le_bytes());
            })
        })
    })
}

/// Adds the entries of a frame to its list.
pub(super) fn read(
    frame: &Frame<'_>,
    unpacker: &mut Unpacker,
    contents: &mut Contents,
) -> Result<(), SnapshotError> {
    let raw = unpacker.unpack(frame.content, frame.raw).map_err(|why| frame.malformed(why))?;
    let mut bytes = Bytes(raw);
    for _ in 0..frame.entries {
        let read = entry(frame.kind, &mut bytes, contents);
        read.ok_or_else(|| frame.malformed("an entry of a list cannot be read"))?;
    }
    match bytes.0.is_empty() {
        true => Ok(()),
        false => Err(frame.malformed("there is more behind the entries of a list")),
    }
}

fn entry(kind: Kind, bytes: &mut Bytes<'_>, contents: &mut Contents) -> Option<()> {
    match kind {
        Kind::Carriers => contents.carriers.push(bytes.text()?.into()),
        Kind::Texts => contents.texts.push(bytes.text()?.into()),
        Kind::Profiles => {
            let carrier = bytes.u32()?;
            let mut texts = [0; 5];
            for text in &mut texts {
                *text = bytes.u32()?;
            }
            contents.profiles.push(ProfileTexts { carrier, texts });
        }
        Kind::Places => contents.places.push([bytes.u32()?, bytes.u32()?]),
        Kind::LongNumbers => contents.long_numbers.push((bytes.u32()?, bytes.text()?.into())),
        Kind::LongLags => {
            let key = u128::from_le_bytes(bytes.array()?);
            contents.long_lags.push((key, i64::from_le_bytes(bytes.array()?)));
        }
        Kind::Header | Kind::Packages | Kind::End => return None,
    }
    Some(())
}
