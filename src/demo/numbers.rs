//! Tracking numbers in the shapes that carriers give them, check digits included, and the ways in
//! which feeds spell them.

/// The number of the package with this serial, which is its own among all of its carrier.
///
/// `serial` must lie below ten million. Some numbers of `ontrac` are those of other packages at
/// `fedex`: number spaces overlap.
pub fn number(carrier: &str, service: &str, serial: u32) -> String {
    match (carrier, service) {
        ("ups", _) => ups(service, serial),
        ("usps", _) => usps(serial),
        ("dhl", "express") => waybill(serial),
        ("dhl", _) => s10("LX", serial, "DE"),
        ("ontrac", _) if !serial.is_multiple_of(20) => format!("C{:014}", scatter(serial, 14)),
        _ => fedex(serial),
    }
}

/// Spreads serials over numbers of `digits` digits without two of one number.
fn scatter(serial: u32, digits: u32) -> u64 {
    let modulus = 10u128.pow(digits);
    // Odd and no multiple of five, so that no two serials meet.
    ((u128::from(serial) * 61_803_398_874_989 + 27_182_818) % modulus) as u64
}

/// `1Z`, the shipper's account, the service, seven digits and a check digit.
fn ups(service: &str, serial: u32) -> String {
    let service_code = if service == "next_day" { "01" } else { "03" };
    let body = format!("A{:05}{service_code}{:07}", serial % 89 * 811, scatter(serial, 7));
    format!("1Z{body}{}", ups_check(&body))
}

fn ups_check(body: &str) -> u32 {
    let values = body.bytes().map(|byte| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        letter => (u32::from(letter) - 63) % 10,
    });
    (10 - weighted_sum(values, &[1, 2]) % 10) % 10
}

/// Eleven digits and one of modulus eleven.
fn fedex(serial: u32) -> String {
    let body = format!("{:011}", scatter(serial, 11));
    format!("{body}{}", fedex_check(&body))
}

fn fedex_check(body: &str) -> u32 {
    weighted_sum(digits(body), &[3, 1, 7]) % 11 % 10
}

/// 22 digits, the last one of modulus ten.
fn usps(serial: u32) -> String {
    let body = format!("94001{:016}", scatter(serial, 16));
    format!("{body}{}", usps_check(&body))
}

fn usps_check(body: &str) -> u32 {
    (10 - weighted_sum(digits(body), &[3, 1]) % 10) % 10
}

/// Nine digits and the remainder of a division by seven.
fn waybill(serial: u32) -> String {
    let body = scatter(serial, 9);
    format!("{body:09}{}", body % 7)
}

/// The Universal Postal Union's S10: two letters, eight digits, a check digit, a country.
fn s10(kind: &str, serial: u32, country: &str) -> String {
    let body = format!("{:08}", scatter(serial, 8));
    format!("{kind}{body}{}{country}", s10_check(&body))
}

fn s10_check(body: &str) -> u32 {
    match 11 - weighted_sum(digits(body), &[8, 6, 4, 2, 3, 5, 9, 7]) % 11 {
        10 => 0,
        11 => 5,
        check => check,
    }
}

fn weighted_sum(values: impl Iterator<Item = u32>, weights: &[u32]) -> u32 {
    values.zip(weights.iter().cycle()).map(|(value, weight)| value * weight).sum()
}

fn digits(text: &str) -> impl Iterator<Item = u32> {
    text.bytes().map(|byte| u32::from(byte - b'0'))
}

/// How a feed writes carrier and number. All of them mean the same package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As printed.
    Plain,
    /// In groups of four, and the carrier in capitals.
    Grouped,
    /// In small letters, with hyphens.
    Small,
    /// At `usps` with the routing of the address in front; elsewhere as printed.
    Routed,
}

impl Spelling {
    /// Carrier and number as this feed writes them.
    pub fn write(self, carrier: &str, number: &str) -> (String, String) {
        match self {
            Self::Grouped => (carrier.to_ascii_uppercase(), grouped(number, ' ')),
            Self::Small => (format!(" {carrier}"), grouped(number, '-').to_ascii_lowercase()),
            Self::Routed if carrier == "usps" => (carrier.into(), format!("42090210{number}")),
            Self::Plain | Self::Routed => (carrier.into(), number.into()),
        }
    }
}

fn grouped(number: &str, separator: char) -> String {
    let mut text = String::with_capacity(number.len() * 5 / 4);
    for (index, character) in number.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push(separator);
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::detector::key::PackageKey;

    const SOLD: [(&str, &str); 6] = [
        ("ups", "ground"),
        ("ups", "next_day"),
        ("fedex", "ground"),
        ("usps", "priority"),
        ("dhl", "express"),
        ("dhl", "ecommerce"),
    ];

    #[test]
    fn check_digits_are_those_of_published_examples() {
        assert_eq!(ups_check("999AA1012345678"), 4);
        assert_eq!(fedex_check("98657878885"), 5);
        assert_eq!(usps_check("910102683733100003952"), 1);
        assert_eq!(s10_check("47312482"), 9);
    }

    #[test]
    fn numbers_have_their_carriers_shape() {
        let lengths: Vec<usize> =
            SOLD.iter().map(|(carrier, service)| number(carrier, service, 7).len()).collect();
        assert_eq!(lengths, [18, 18, 12, 22, 10, 13]);
        assert!(number("ups", "ground", 7).starts_with("1Z"));
    }

    #[test]
    fn no_two_packages_of_a_carrier_share_a_number() {
        for (carrier, service) in SOLD {
            let numbers: HashSet<_> =
                (0..20_000).map(|serial| number(carrier, service, serial)).collect();
            assert_eq!(numbers.len(), 20_000, "{carrier} {service}");
        }
    }

    #[test]
    fn number_spaces_of_carriers_overlap() {
        assert_eq!(number("ontrac", "ground", 40), number("fedex", "ground", 40));
    }

    #[test]
    fn every_spelling_means_the_same_package() {
        for (carrier, service) in SOLD {
            let printed = number(carrier, service, 12_345);
            for spelling in [Spelling::Plain, Spelling::Grouped, Spelling::Small, Spelling::Routed]
            {
                let (carrier_text, number_text) = spelling.write(carrier, &printed);
                let key = PackageKey::new(&carrier_text, &number_text).unwrap();
                assert_eq!((key.carrier(), key.number().as_str()), (carrier, printed.as_str()));
            }
        }
    }
}
