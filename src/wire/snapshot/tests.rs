//! What is written comes back; what was not written is an error with a name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::frame::Kind;
use super::*;
use crate::detector::exception::Severity;
use crate::detector::key::PackageKey;
use crate::detector::memory::SystemBlocks;
use crate::detector::policy::{Defaults, Policy, Step};
use crate::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use crate::detector::shard::Stats;
use crate::detector::shard::Stop;
use crate::detector::time::EventTime;

const START: i64 = 1_772_409_600;
const DAY: i64 = 86_400;

fn policies() -> Arc<PolicySet> {
    let step = |after| Step { after, severity: Severity::Warning, name: "stalled".into() };
    let everything = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![step(DAY)],
        no_movement: vec![step(2 * DAY)],
    };
    let graces = BTreeMap::from([("c-1".to_owned(), 3_600)]);
    Arc::new(PolicySet::new(Defaults::default(), graces, vec![everything]).unwrap())
}

fn header() -> Header {
    Header {
        topic: "carrier.scans.v1".to_owned(),
        topic_id: Some("Zx3".to_owned()),
        partition: 3,
        partitions: 12,
        offset: 1_000,
        decisions: Decisions {
            start: 7,
            refused: vec![(12, 12), (900, 950)],
            rejected: Some(Rejections { from: 0, bits: 16, blocks: vec![(0, 2, u64::MAX)] }),
            settings: vec![Settings { from: 0, forget_after: 60 * DAY, settled_retention: DAY }],
            dropped_below: 5,
            dropped: u64::MAX,
        },
        last: Some(LastRecord { offset: 999, time_ms: Some(START * 1000), hash: u64::MAX }),
    }
}

/// A scan by numbers: of which package, what, how old, and with which texts.
#[derive(Clone, Debug)]
struct Spec {
    carrier: u16,
    number: String,
    milestone: u8,
    later: u32,
    age: i64,
    texts: [u8; 7],
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "1Z[0-9A-C]{6}",
        3 => "9400[0-9]{4}",
        2 => "[0-9]{2}",
        1 => "[0-9]{21,36}",
        1 => "[A-Z0-9]{21,24}",
        1 => "[!-~]{1,64}",
    ]
}

fn specs(most: usize) -> impl Strategy<Value = Vec<Spec>> {
    let texts = prop::array::uniform7(prop_oneof![4 => 0u8..3, 1 => any::<u8>()]);
    // More than 48 days of lag have no room in a record.
    let age = prop_oneof![8 => 0..100i64, 2 => -50..100 * DAY, 1 => 0..3_000 * DAY];
    let carrier = prop_oneof![9 => 0u16..4, 1 => 0u16..500];
    let later = prop_oneof![6 => 0u32..60, 1 => 0u32..2_000_000];
    let spec = (carrier, number(), 0u8..20, later, age, texts).prop_map(
        |(carrier, number, milestone, later, age, texts)| Spec {
            carrier,
            number,
            milestone,
            later,
            age,
            texts,
        },
    );
    prop::collection::vec(spec, 0..most)
}

/// The records of specifications, and texts for them to borrow.
fn apply(shard: &mut Shard, specs: &[Spec], clock: &mut i64) {
    for spec in specs {
        let text = |at: usize| match spec.texts[at] {
            0 => None,
            number => Some(format!("text-{at}-{}", number.min(120))),
        };
        let texts: [Option<String>; 7] = std::array::from_fn(text);
        let text = |at: usize| texts[at].as_deref();
        let Ok(key) = PackageKey::new(&format!("c-{}", spec.carrier), &spec.number) else {
            continue;
        };
        *clock += i64::from(spec.later);
        let scan = Scan {
            key,
            milestone: Milestone::ALL[usize::from(spec.milestone)],
            evidence: Evidence::Physical,
            event_time: Some(EventTime::from_secs((*clock - spec.age).max(946_684_800))),
            log_time: LogTime::from_secs(*clock),
            offset: 0,
            attributes: Attributes {
                service: text(0),
                direction: text(1),
                destination_country: text(2),
                shipper: text(3),
                value_tier: text(4),
                facility: text(5),
                country: text(6),
            },
        };
        apply_all(shard, &[Record::Scan(scan)]);
    }
}

fn apply_all(shard: &mut Shard, mut records: &[Record<'_>]) {
    loop {
        let applied = shard.apply(records, &mut Vec::new());
        records = &records[applied.records..];
        if applied.stop == Stop::End {
            return;
        }
    }
}

fn bytes_of(shard: &Shard) -> Vec<u8> {
    let (mut image, mut bytes) = (Image::default(), Vec::new());
    shard.image(&mut image).unwrap();
    let length = Encoder::new().unwrap().write(&image, &header(), &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

fn read_back(bytes: &[u8]) -> Result<(Header, Shard), SnapshotError> {
    read(bytes, policies(), Arc::new(SystemBlocks))
}

/// A state with something of everything.
fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut shard = Shard::new(policies());
        let mut clock = START;
        let spec = |number: String, carrier, age| Spec {
            carrier,
            number,
            milestone: (carrier % 15) as u8,
            later: 1,
            age,
            texts: [1, 2, 0, (carrier % 7) as u8, 0, (carrier % 5) as u8 + 1, 1],
        };
        for at in 0..300u16 {
            let odd = ["~".repeat(usize::from(at) % 60 + 1), format!("{at:024}")];
            let usual = [format!("1Z{:06}", u32::from(at) * 7_919), format!("{at:012}")];
            let number = match at % 10 {
                0 => &odd[0],
                1 => &odd[1],
                2..6 => &usual[0],
                _ => &usual[1],
            };
            let age = if at % 50 == 3 { 5 * DAY } else { i64::from(at) };
            apply(&mut shard, &[spec(number.clone(), at % 20, age)], &mut clock);
        }
        let label = Spec { milestone: 0, ..spec("LATE".to_owned(), 2, 0) };
        apply(&mut shard, std::slice::from_ref(&label), &mut clock);
        // A label announced 50 days ago: its lag has no room in a record.
        let earlier = Spec { milestone: 0, later: 50 * DAY as u32, age: 50 * DAY, ..label };
        apply(&mut shard, &[earlier], &mut clock);
        bytes_of(&shard)
    })
}

/// A snapshot with right checksums whose frames were changed.
fn resealed(bytes: &[u8], mut change: impl FnMut(&mut Frame<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut frames = FrameWriter::new(&mut out).unwrap();
    let mut read = FrameReader::new(bytes).unwrap();
    loop {
        let mut frame = read.next().unwrap();
        if frame.kind == Kind::End {
            break;
        }
        let mut content = frame.content.to_vec();
        change(&mut frame, &mut content);
        frames.frame(frame.kind, (frame.entries, frame.raw), &content).unwrap();
    }
    frames.end().unwrap();
    out
}

/// A list or header, unpacked, changed and packed again; else the content as it stands.
fn changed(kind: Kind, raw: &mut usize, content: &mut Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) {
    if kind == Kind::Packages {
        change(content);
        return;
    }
    let mut unpacked = zstd::bulk::decompress(content, *raw).unwrap();
    change(&mut unpacked);
    *raw = unpacked.len();
    *content = zstd::bulk::compress(&unpacked, 1).unwrap();
}

/// Without the texts: a shard keeps a few that no package has any more.
fn stats(shard: &Shard) -> Stats {
    Stats { texts: 0, ..shard.stats() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_shard_from_its_bytes_has_the_same_digest_and_goes_on_the_same(
        before in specs(120), after in specs(120),
    ) {
        let mut shard = Shard::rebuilding(policies());
        let mut clock = START;
        apply(&mut shard, &before, &mut clock);
        let bytes = bytes_of(&shard);
        let (read_header, mut again) = read_back(&bytes).unwrap();
        prop_assert_eq!(read_header, header());
        prop_assert_eq!(read_header_of(&bytes), header());
        prop_assert_eq!(again.state_digest(), shard.state_digest());
        prop_assert_eq!(bytes_of(&again), bytes);
        prop_assert_eq!(stats(&again), stats(&shard));
        let mut outboxes = Vec::new();
        for shard in [&mut shard, &mut again] {
            let mut clock = clock;
            shard.go_live(None);
            apply(shard, &after, &mut clock);
            while !shard.finish(Some(crate::detector::time::Frontier::from_secs(clock + 70 * DAY))) {}
            outboxes.push((shard.take_outbox(), stats(shard), shard.state_digest()));
        }
        prop_assert_eq!(&outboxes[0], &outboxes[1]);
    }

    #[test]
    fn bytes_depend_on_the_state_and_not_on_its_history(mut specs in specs(80)) {
        // One scan of each package at one time, so that any order gives the same state.
        specs.sort_by(|a, b| (a.carrier, &a.number).cmp(&(b.carrier, &b.number)));
        specs.dedup_by(|a, b| PackageKey::new("c", &a.number) == PackageKey::new("c", &b.number));
        specs.iter_mut().for_each(|spec| (spec.later, spec.milestone) = (0, spec.milestone % 2));
        let of = |specs: &[Spec]| {
            let mut shard = Shard::rebuilding(policies());
            apply(&mut shard, specs, &mut START.clone());
            (shard.state_digest(), bytes_of(&shard))
        };
        let once = of(&specs);
        specs.reverse();
        prop_assert!(once == of(&specs));
    }

    #[test]
    fn any_damage_is_an_error_with_a_name(at in any::<prop::sample::Index>(), bits in 1u8..) {
        let mut bytes = sample().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let error = read_back(&bytes).err();
        prop_assert!(matches!(
            error,
            Some(
                SnapshotError::Damaged { .. }
                    | SnapshotError::Truncated { .. }
                    | SnapshotError::Foreign
                    | SnapshotError::Newer { .. }
            )
        ), "{error:?}");
    }

    #[test]
    fn what_has_right_checksums_and_makes_no_sense_never_panics(
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
        entries in prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u32>())),
    ) {
        let frames = 8;
        let mut number = 0;
        let bytes = resealed(sample(), |frame, content| {
            for (which, at, byte, how) in &damage {
                if which.index(frames) == number {
                    changed(frame.kind, &mut frame.raw, content, |content| {
                        let at = at.index(content.len() + 1);
                        match how {
                            0 if at < content.len() => content[at] = *byte,
                            1 => content.insert(at, *byte),
                            _ => content.truncate(at),
                        }
                    });
                }
            }
            if let Some((which, entries)) = &entries && which.index(frames) == number {
                frame.entries = *entries as usize;
            }
            number += 1;
        });
        if let Ok((_, mut shard)) = read_back(&bytes) {
            // It happens to be a state: then it has to be one that can be worked with.
            shard.go_live(None);
            let mut clock = START + 51 * DAY;
            let spec = Spec {
                carrier: 1, number: "1Z0".into(), milestone: 4, later: 9, age: 0, texts: [1; 7],
            };
            apply(&mut shard, &[spec], &mut clock);
            while !shard.finish(Some(crate::detector::time::Frontier::from_secs(clock + 70 * DAY))) {}
            shard.take_outbox();
            prop_assert_eq!(read_back(&bytes_of(&shard)).unwrap().1.state_digest(), shard.state_digest());
        }
    }
}

fn read_header_of(bytes: &[u8]) -> Header {
    read_header(bytes).unwrap()
}

#[test]
fn what_is_cut_off_anywhere_is_known() {
    for length in 0..sample().len() {
        let error = read_back(&sample()[..length]).err();
        assert_eq!(error, Some(SnapshotError::Truncated { length: length as u64 }), "at {length}");
    }
    let longer = [sample(), &[0]].concat();
    assert!(matches!(read_back(&longer), Err(SnapshotError::Malformed { .. })));
}

#[test]
fn a_newer_format_and_foreign_bytes_are_refused_by_name() {
    let mut newer = sample().to_vec();
    newer[8] = VERSION as u8 + 1;
    assert_eq!(read_back(&newer).err(), Some(SnapshotError::Newer { found: VERSION + 1 }));
    let said = read_back(&newer).err().unwrap().to_string();
    assert_eq!(said, "the format has version 2; this program knows versions up to 1");
    for foreign in [&b"PK\x03\x04 and so on, and so on"[..], b"Obj\x01"] {
        assert_eq!(read_back(foreign).err(), Some(SnapshotError::Foreign));
    }
}

#[test]
fn frames_out_of_their_order_are_refused() {
    let mut frames: Vec<(Kind, usize, usize, Vec<u8>)> = Vec::new();
    resealed(sample(), |frame, content| {
        frames.push((frame.kind, frame.entries, frame.raw, content.clone()));
    });
    for at in 1..frames.len() {
        let mut swapped = frames.clone();
        swapped.swap(at - 1, at);
        let mut missing = frames.clone();
        missing.remove(at);
        for frames in [swapped, missing] {
            let mut out = Vec::new();
            let mut writer = FrameWriter::new(&mut out).unwrap();
            for (kind, entries, raw, content) in frames {
                writer.frame(kind, (entries, raw), &content).unwrap();
            }
            writer.end().unwrap();
            let error = read_back(&out).err();
            assert!(
                matches!(error, Some(SnapshotError::Malformed { .. } | SnapshotError::Unsound(_))),
                "{at}: {error:?}"
            );
        }
    }
}

/// More carriers than a key has room for, in both directions: known by a low number then and by a
/// high one now, and the other way round.
#[test]
fn carriers_beyond_those_that_fit_a_key_come_back() {
    let mut shard = Shard::rebuilding(policies());
    let mut clock = START;
    let spec = |carrier: u16, number: &str| Spec {
        carrier,
        number: number.to_owned(),
        milestone: 2,
        later: 0,
        age: 0,
        texts: [1; 7],
    };
    for carrier in (0..4_200).rev() {
        apply(&mut shard, &[spec(carrier, "1Z1"), spec(carrier, "odd~")], &mut clock);
    }
    let (_, again) = read_back(&bytes_of(&shard)).unwrap();
    assert_eq!(again.len(), 8_400);
    assert_eq!(again.state_digest(), shard.state_digest());
    assert_eq!(bytes_of(&again), bytes_of(&shard));
    for carrier in [0, 7, 4_094, 4_095, 4_199] {
        let key = PackageKey::new(&format!("c-{carrier}"), "1Z1").unwrap();
        assert_eq!(again.package(&key), shard.package(&key));
        assert!(again.package(&key).is_some());
    }
}

/// Several blocks, in which stretches of keys begin and end; slots that were used before.
#[test]
fn more_packages_than_a_block_has_come_back() {
    let mut shard = Shard::rebuilding(policies());
    let mut clock = START;
    let forms = |at: u32| match at % 4 {
        0 => (0, format!("1Z{:08X}", at.wrapping_mul(2_654_435_761))),
        1 => (0, format!("9400{:018}", u64::from(at) * 1_000_003)),
        2 => (1, format!("{:012}", u64::from(at) * 7_777_777 % 1_000_000_007)),
        _ => (2, format!("{:026}", u64::from(at) * 31_337)),
    };
    for at in 0..150_000u32 {
        let (carrier, number) = forms(at);
        let settles = at % 3 == 0 && at < 50_000;
        let milestone = if settles { 16 } else { 2 };
        // Of those that settle the first half is forgotten before the rest comes.
        let later = if at == 50_000 { 8 * DAY as u32 } else { 0 };
        let texts = [(at % 5) as u8, 0, 0, (at % 200) as u8, 0, (at % 120) as u8, 1];
        let spec = Spec { carrier, number, milestone, later, age: i64::from(at % 90), texts };
        apply(&mut shard, &[spec], &mut clock);
    }
    assert!(shard.len() < 140_000 && shard.slots() < 140_000, "slots were used again");
    let bytes = bytes_of(&shard);
    let (_, again) = read_back(&bytes).unwrap();
    assert_eq!(again.len(), shard.len());
    assert_eq!(again.state_digest(), shard.state_digest());
    assert_eq!(bytes_of(&again), bytes);
}

#[test]
fn a_shard_with_work_left_gives_no_image() {
    let mut shard = Shard::new(policies());
    let mut clock = START;
    let spec =
        |number: String| Spec { carrier: 0, number, milestone: 2, later: 0, age: 0, texts: [0; 7] };
    for at in 0..100 {
        apply(&mut shard, &[spec(format!("1Z{at}"))], &mut clock);
    }
    shard.set_work_per_call(1);
    let later = crate::detector::time::Frontier::from_secs(START + 3 * DAY);
    assert!(!shard.advance(later));
    assert!(shard.image(&mut Image::default()).is_err());
    while !shard.advance(later) {}
    assert!(shard.image(&mut Image::default()).is_ok());
}
