//! What one would write for this schema alone: the bound for anything that reads its schema at run
//! time. It relies on the order and the types of `schemas/scan.v1.avsc`, checks all that it reads,
//! and gives up without a reason.

use stallwatch::detector::key::PackageKey;
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Scan};
use stallwatch::detector::time::{EventTime, LogTime, in_range};
use stallwatch::wire::scan::{Fields, Origin};

/// The scan of one datum. `ASCII`: texts of ASCII are not checked as UTF-8 once more.
#[inline]
pub fn decode<const ASCII: bool>(datum: &[u8], origin: Origin) -> Option<Scan<'_>> {
    let fields = fields::<ASCII>(datum)?;
    let log_time = match origin.log_time {
        Some(millis) => seconds(millis)?,
        None => fields.event_time?,
    };
    Some(Scan {
        key: PackageKey::new(fields.carrier, fields.tracking_number).ok()?,
        milestone: fields.milestone,
        evidence: fields.evidence,
        event_time: fields.event_time.map(EventTime::from_secs),
        log_time: LogTime::from_secs(log_time),
        offset: origin.offset,
        attributes: fields.attributes,
    })
}

/// The fields of one datum, without the normal form of its key.
#[inline]
pub fn fields<const ASCII: bool>(datum: &[u8]) -> Option<Fields<'_>> {
    let mut walk = Walk::<ASCII> { rest: datum };
    let tracking_number = walk.short_text()?;
    let carrier = walk.short_text()?;
    let milestone = *Milestone::ALL.get(walk.long()? as usize)?;
    let event_time = match walk.byte()? {
        0 => None,
        2 => Some(seconds(walk.long()?)?),
        _ => return None,
    };
    let evidence = *Evidence::ALL.get(walk.long()? as usize)?;
    let attributes = Attributes {
        service: walk.attribute()?,
        direction: walk.attribute()?,
        destination_country: walk.attribute()?,
        shipper: walk.attribute()?,
        value_tier: walk.attribute()?,
        facility: walk.attribute()?,
        country: walk.attribute()?,
    };
    walk.nullable_text()?;
    walk.nullable_text()?;
    walk.map()?;
    let fields = Fields { tracking_number, carrier, milestone, evidence, event_time, attributes };
    walk.rest.is_empty().then_some(fields)
}

fn seconds(millis: i64) -> Option<i64> {
    let seconds = millis.div_euclid(1000);
    in_range(seconds).then_some(seconds)
}

struct Walk<'a, const ASCII: bool> {
    rest: &'a [u8],
}

impl<'a, const ASCII: bool> Walk<'a, ASCII> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    fn long(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let last_of_ten = shift == 63 && byte > 1;
                return (!last_of_ten).then_some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        None
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.long()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        if ASCII && bytes.is_ascii() {
            // SAFETY: ASCII is UTF-8.
            return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).ok()
    }

    #[inline]
    fn short_text(&mut self) -> Option<&'a str> {
        self.text().filter(|text| text.len() <= 256)
    }

    #[inline]
    fn nullable_text(&mut self) -> Option<Option<&'a str>> {
        match self.byte()? {
            0 => Some(None),
            2 => self.text().map(Some),
            _ => None,
        }
    }

    #[inline]
    fn attribute(&mut self) -> Option<Option<&'a str>> {
        match self.byte()? {
            0 => Some(None),
            2 => self.short_text().map(|text| Some(text).filter(|text| !text.is_empty())),
            _ => None,
        }
    }

    #[inline]
    fn map(&mut self) -> Option<()> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg()?;
            }
            for _ in 0..count {
                self.text()?;
                self.text()?;
            }
        }
    }
}
