//! A file read in batches is the file read record by record.

use apache_avro::Codec;
use serde_json::{Value as Json, json};
use stallwatch::detector::scan::Record;
use stallwatch::wire::scan_file::ScanFile;

use super::writers::Dice;
use super::{SCAN_LOG, container, in_pieces, schema};

/// Each record with its partition and what is wrong with it, and what ended reading.
type Read = (Vec<(Option<i32>, String, Option<String>)>, Option<String>);

fn one_by_one(bytes: Vec<u8>) -> Read {
    let mut entries = Vec::new();
    let mut file = match ScanFile::open(in_pieces(bytes, 4096)) {
        Ok(file) => file,
        Err(error) => return (entries, Some(error.to_string())),
    };
    loop {
        match file.next() {
            Ok(Some(entry)) => entries.push(match entry.scan {
                Ok(scan) => (entry.partition, format!("{:?}", Record::Scan(scan)), None),
                Err(why) => {
                    let told = format!("{}: {why}", entry.place);
                    (entry.partition, format!("{:?}", why.record()), Some(told))
                }
            }),
            Ok(None) => return (entries, None),
            Err(error) => return (entries, Some(error.to_string())),
        }
    }
}

fn in_batches(bytes: Vec<u8>, most: usize, piece: usize) -> Read {
    let mut entries = Vec::new();
    let mut file = match ScanFile::open(in_pieces(bytes, piece)) {
        Ok(file) => file,
        Err(error) => return (entries, Some(error.to_string())),
    };
    loop {
        match file.next_batch(most) {
            Ok(Some(batch)) => {
                assert!((1..=most).contains(&batch.records.len()));
                assert_eq!(batch.records.len(), batch.partitions.len());
                let start = entries.len();
                let records = batch.records.iter().map(|record| format!("{record:?}"));
                entries.extend(batch.partitions.iter().zip(records).map(|(p, r)| (*p, r, None)));
                for (index, place, why) in batch.rejected {
                    entries[start + index].2 = Some(format!("{place}: {why}"));
                }
            }
            Ok(None) => return (entries, None),
            Err(error) => return (entries, Some(error.to_string())),
        }
    }
}

fn log(dice: &mut Dice) -> Vec<Json> {
    (0..dice.below(40))
        .map(|number| {
            let mut scan = json!({"tracking_number": format!("1Z{number}"), "carrier": "ups",
                "milestone": "arrived", "event_time": 1_772_438_400_000_i64 + number as i64 * 1000,
                "evidence": "physical", "attributes": {"some": "thing"},
                "partition": dice.below(3), "offset": number});
            if dice.in_hundred(97) {
                scan["log_time"] = json!(1_772_438_400_000_i64);
            } else {
                let back = dice.below(60) as i64;
                scan["event_time"] = json!(1_772_438_400_000_i64 + (number as i64 - back) * 1000);
            }
            if dice.in_hundred(5) {
                scan["carrier"] = json!("?");
            }
            scan
        })
        .collect()
}

#[test]
fn a_file_read_in_batches_is_the_file_read_record_by_record() {
    let (mut whole, mut ended) = (0, 0);
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let log = log(&mut dice);
        let codec = if dice.in_hundred(50) { Codec::Null } else { Codec::Snappy };
        let mut bytes = if dice.in_hundred(80) {
            container(&schema(SCAN_LOG), codec, &log, 1 + dice.below(9))
        } else {
            log.iter().map(|scan| format!("{scan}\n")).collect::<String>().into_bytes()
        };
        if dice.in_hundred(40) && !bytes.is_empty() {
            let from = bytes.len() / 2;
            let at = from + dice.below(bytes.len() - from);
            bytes[at] ^= 1 << dice.below(8);
        }
        let expected = one_by_one(bytes.clone());
        match expected.1 {
            Some(_) => ended += 1,
            None => whole += 1,
        }
        for most in [1, 2, 7, 1000] {
            let piece = 1 + dice.below(300);
            assert_eq!(in_batches(bytes.clone(), most, piece), expected, "seed {seed}, {most}");
        }
    }
    assert!(whole > 100 && ended > 20, "{whole} files were read to their end, {ended} were not");
}
