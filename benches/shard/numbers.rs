//! Tracking numbers as carriers give them, from the number of a package: distinct for distinct ones.

use stallwatch::detector::key::PackageKey;

use crate::dice::{below, mix};

/// A carrier's numbers: `#` a digit, `*` a digit or letter, `@` a letter, `^` the check digit of
/// the eight digits in front of it; any other character is itself.
struct Form {
    carrier: &'static str,
    /// Of all packages, in per mille.
    share: usize,
    number: &'static str,
}

const fn form(share: usize, carrier: &'static str, number: &'static str) -> Form {
    Form { carrier, share, number }
}

/// UPS 35 %, USPS 25 %, FedEx 20 %, S10 of the postal union 10 %, others 10 %.
const FORMS: &[Form] = &[
    form(350, "ups", "1Z****************"),
    form(120, "usps", "9400##################"),
    form(80, "usps", "9205##################"),
    form(50, "usps", "9261##################"),
    form(200, "fedex", "############"),
    form(30, "china-post", "@@########^CN"),
    form(25, "royal-mail", "@@########^GB"),
    form(15, "deutsche-post", "@@########^DE"),
    form(15, "postnl", "@@########^NL"),
    form(15, "usps", "@@########^US"),
    form(20, "dhl", "00340434############"),
    form(15, "dhl", "JJD0003#############"),
    form(15, "dpd", "##############"),
    form(10, "gls", "Z********##"),
    form(15, "ontrac", "C0##############"),
    form(15, "lasership", "1LS############"),
    form(10, "colis-prive", "**********"),
];

/// The key of a package.
pub fn key_of(package: u32) -> PackageKey {
    let form = form_of(package);
    let mut number = [0u8; 32];
    let number = write(form.number, package, &mut number);
    PackageKey::new(form.carrier, number).expect("the forms are in normal form")
}

/// Which key it is, as one number.
pub fn fingerprint(key: &PackageKey) -> u64 {
    let number = key.number();
    let bytes = key.carrier().bytes().chain([b'|']).chain(number.bytes());
    bytes.fold(0, |hash, byte| mix(hash, u64::from(byte) + 1))
}

fn form_of(package: u32) -> &'static Form {
    let mut rest = below(mix(u64::from(package), 11), 1_000);
    for form in FORMS {
        if rest < form.share {
            return form;
        }
        rest -= form.share;
    }
    &FORMS[0]
}

/// From the right, the places show the package's number, scattered over as many bits as there is
/// room for; what is left of them in front is any.
fn write<'a>(form: &str, package: u32, buffer: &'a mut [u8; 32]) -> &'a str {
    let form = form.as_bytes();
    let capacity = form.iter().fold(1u64, |all, place| all.saturating_mul(radix(*place)));
    let mut rest = scatter(u64::from(package), capacity.ilog2());
    let mut any = mix(u64::from(package), 12);
    let mut shown = 1u64;
    for (at, place) in form.iter().enumerate().rev() {
        let radix = radix(*place);
        let source = if shown == u64::MAX { &mut any } else { &mut rest };
        buffer[at] = match place {
            b'#' | b'*' => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(*source % radix) as usize],
            b'@' => b'A' + (*source % radix) as u8,
            literal => *literal,
        };
        *source /= radix;
        shown = shown.saturating_mul(radix);
    }
    if let Some(at) = form.iter().position(|place| *place == b'^') {
        buffer[at] = s10_check_digit(&buffer[at - 8..at]);
    }
    std::str::from_utf8(&buffer[..form.len()]).expect("written in ASCII")
}

const fn radix(place: u8) -> u64 {
    match place {
        b'#' => 10,
        b'*' => 36,
        b'@' => 26,
        _ => 1,
    }
}

/// A permutation of the numbers of this many bits.
fn scatter(value: u64, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits.clamp(1, 64));
    let mut value = value & mask;
    for factor in [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03] {
        value = value.wrapping_mul(factor) & mask;
        value ^= value >> (bits / 2).max(1);
    }
    value
}

/// UPU standard S10: weights, then eleven.
fn s10_check_digit(digits: &[u8]) -> u8 {
    let weights = [8u32, 6, 4, 2, 3, 5, 9, 7];
    let sum: u32 =
        digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    match 11 - sum % 11 {
        10 => b'0',
        11 => b'5',
        digit => b'0' + digit as u8,
    }
}

/// Checks that no two of the first `packages` packages have one key, and the forms' promises.
pub fn check(packages: u32) -> Result<(), String> {
    if FORMS.iter().map(|form| form.share).sum::<usize>() != 1_000 {
        return Err("the shares of the forms are not 1,000 per mille".to_owned());
    }
    for form in FORMS {
        let capacity = form.number.bytes().fold(1u64, |all, at| all.saturating_mul(radix(at)));
        if capacity <= u64::from(u32::MAX) {
            return Err(format!("{} has no room for every package", form.number));
        }
    }
    let mut keys: Vec<_> = (0..packages).map(key_of).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two packages are {}", pair[0])),
        None => Ok(()),
    }
}
