//! The promises of keys, by example and against a byte-by-byte reading of the normal form.

use std::collections::HashSet;

use proptest::prelude::*;

use super::pack::{pack, unpack};
use super::*;

fn number(carrier: &str, number: &str) -> String {
    PackageKey::new(carrier, number).unwrap().number().to_string()
}

#[test]
fn spaces_hyphens_and_case_do_not_make_another_package() {
    let key = PackageKey::new(" \tUPS ", "1z 999-aa1 0123456784").unwrap();
    assert_eq!(key.to_string(), "ups:1Z999AA10123456784");
}

#[test]
fn the_routing_prefix_of_usps_is_cut_and_only_there() {
    let bare20 = "71234567890123456789";
    let bare22 = "9400111899223197428490";
    let bare26 = "92001234567890123456789012";
    assert_eq!(number("usps", &format!("42090210{bare20}")), bare20);
    assert_eq!(number("usps", &format!("42090210{bare22}")), bare22);
    assert_eq!(number("usps", &format!("420902101234{bare20}")), bare20);
    assert_eq!(number("usps", &format!("420902101234{bare22}")), bare22);
    assert_eq!(number("usps", &format!("420902101234{bare26}")), bare26);
    let bare26_alone = "91001234567890123456789012";
    assert_eq!(number("usps", &format!("42090210{bare26_alone}")), bare26_alone);
    let other = format!("42090210{bare22}");
    assert_eq!(number("ups", &other), other);
}

#[test]
fn what_has_no_normal_form_says_why() {
    let new = PackageKey::new;
    assert_eq!(new(" ", "1"), Err(KeyError::NoCarrier));
    assert_eq!(new("dhl express", "1"), Err(KeyError::BadCarrier));
    assert_eq!(new(&"c".repeat(33), "1"), Err(KeyError::BadCarrier));
    assert_eq!(new("ups", " - "), Err(KeyError::NoNumber));
    assert_eq!(new("ups", &"1".repeat(65)), Err(KeyError::LongNumber));
    assert_eq!(new("ups", "1\t2"), Err(KeyError::BadNumber));
    assert_eq!(new("ups", "Ä1"), Err(KeyError::BadNumber));
    assert!(new("ups", &format!("{}-", "1".repeat(64))).is_ok());
}

#[test]
fn codes_are_what_is_written_down_of_them() {
    assert_eq!(pack(b"0"), Some(37u128.pow(21)));
    assert_eq!(pack(b"Z"), Some(36 * 37u128.pow(21)));
    assert_eq!(pack(&[b'Z'; 22]), Some(37u128.pow(22) - 1));
    assert_eq!(pack(&[b'0'; 23]), Some(1 << 115));
    assert_eq!(pack(&[b'0'; 24]), Some((1 << 115) + 10u128.pow(23)));
    let greatest = pack(&[b'9'; 34]).unwrap();
    let shorter: u128 = (23..34).map(|len| 10u128.pow(len)).sum();
    assert_eq!(greatest, (1 << 115) + shorter + 10u128.pow(34) - 1);
    assert!(greatest < 1 << 116);
    assert!(pack(&[b'Z'; 22]).unwrap() < 1 << 115);
}

#[test]
fn what_is_no_number_of_the_two_kinds_has_no_code() {
    for number in ["", "1\0", "\0", "1.2", "1a", "1Z-9", "Ä", "1234567890123456789012A"] {
        assert_eq!(pack(number.as_bytes()), None, "{number:?}");
    }
    assert_eq!(pack(&[b'A'; 23]), None);
    assert_eq!(pack(&[b'1'; 35]), None);
    for len in 1..=34 {
        for at in 0..len {
            for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                let mut number = vec![b'7'; len];
                number[at] = byte;
                let letter = len <= 22 && byte.is_ascii_uppercase();
                assert_eq!(pack(&number).is_some(), letter, "{number:?}");
            }
        }
    }
}

#[test]
fn a_key_of_every_kind_of_number_reads_as_it_was_written() {
    for number in ["1Z999AA10123456784", "9400111899223197428490", "A.B", "(01)12345"] {
        let key = PackageKey::new("ups", number).unwrap();
        assert_eq!(key.number(), number);
        assert_eq!(
            format!("{key:?}"),
            format!("PackageKey {{ carrier: \"ups\", number: {number:?} }}")
        );
        if let Some(code) = key.code() {
            assert_eq!(PackageKey::from_code(Carrier::new("ups").unwrap(), code), key);
        }
    }
}

#[test]
fn a_key_takes_48_bytes() {
    assert_eq!(size_of::<PackageKey>(), 48);
}

/// Texts of the kinds that have codes, near their bounds, and others.
fn normal_form() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9A-Z]{1,22}",
        "[0-9]{23,34}",
        "0{1,33}[0-9]",
        "[0-9A-Z]{21,24}",
        "[0-9]{33,36}",
        "[!-`{-~]{1,64}"
    ]
}

/// Texts as feeds send them.
fn sent_number() -> impl Strategy<Value = String> {
    let routed = "420[0-9]{5,9}9[0-9]{19,25}";
    prop_oneof![
        "[0-9A-Z]{0,40}",
        "[0-9a-zA-Z -]{0,80}",
        "[ -~]{0,80}",
        "[0-9 -]{60,80}",
        "(?s).{0,24}",
        "[0-9A-Z\0é]{0,24}",
        routed,
        "420[0-9]{20,35}",
        "420[0-9 -]{25,45}"
    ]
}

fn sent_carrier() -> impl Strategy<Value = String> {
    prop_oneof![
        "usps",
        "[ \t]{0,2}USPS[ \t]{0,2}",
        "[a-z0-9._-]{1,34}",
        "[A-Za-z._ \t-]{0,12}",
        "(?s).{0,9}",
        "[a-zé\0]{1,5}"
    ]
}

/// The normal form as the rules say it, byte by byte.
fn naive(carrier: &str, number: &str) -> Result<(String, String), KeyError> {
    let carrier = carrier.trim_matches([' ', '\t']).to_ascii_lowercase();
    if carrier.is_empty() {
        return Err(KeyError::NoCarrier);
    }
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if carrier.len() > 32 || !carrier.bytes().all(allowed) {
        return Err(KeyError::BadCarrier);
    }
    let mut kept = String::new();
    for byte in number.bytes().filter(|byte| *byte != b' ' && *byte != b'-') {
        if !byte.is_ascii_graphic() {
            return Err(KeyError::BadNumber);
        }
        if kept.len() == 64 {
            return Err(KeyError::LongNumber);
        }
        kept.push(char::from(byte.to_ascii_uppercase()));
    }
    if kept.is_empty() {
        return Err(KeyError::NoNumber);
    }
    let routing = if carrier == "usps" { naive_routing(&kept) } else { 0 };
    Ok((carrier, kept.split_off(routing)))
}

fn naive_routing(number: &str) -> usize {
    let nine_at = |at: usize| number.as_bytes()[at] == b'9';
    if !number.starts_with("420") || number.bytes().any(|byte| !byte.is_ascii_digit()) {
        return 0;
    }
    match number.len() {
        28 | 30 => 8,
        32 | 38 => 12,
        34 if !nine_at(12) && nine_at(8) => 8,
        34 => 12,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_code_gives_back_its_number_and_only_the_two_kinds_have_one(number in normal_form()) {
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let alphanumeric = number.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let has_code = (alphanumeric && number.len() <= 22) || (digits && number.len() <= 34);
        let code = pack(number.as_bytes());
        prop_assert_eq!(code.is_some(), has_code);
        if let Some(code) = code {
            prop_assert_eq!(unpack(code), number.as_str());
            prop_assert!(code < 1 << 116);
        }
    }

    #[test]
    fn a_code_is_known_from_what_is_none(
        number in normal_form(), any in any::<u128>(), digits in prop::collection::vec(0u8..37, 22),
    ) {
        let joined = |digits: &[u8]| digits.iter().fold(0, |code: u128, digit| code * 37 + u128::from(*digit));
        if let Some(code) = pack(number.as_bytes()) {
            prop_assert!(is_code(code), "{number}");
        }
        let code = joined(&digits);
        let length = digits.iter().position(|digit| *digit == 0).unwrap_or(22);
        let is_text = length > 0 && digits[length..].iter().all(|digit| *digit == 0);
        prop_assert_eq!(is_code(code), is_text, "{:?}", digits);
        let above = 37u128.pow(22) + any % ((1 << 115) - 37u128.pow(22));
        prop_assert!(!is_code(above));
        prop_assert_eq!(halves(code).map(|(first, last)| from_halves(first, last)), Some(code));
    }

    #[test]
    fn different_numbers_have_different_codes(numbers in prop::collection::hash_set(normal_form(), 2..40)) {
        let codes: Vec<u128> = numbers.iter().filter_map(|number| pack(number.as_bytes())).collect();
        prop_assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
    }

    #[test]
    fn codes_of_up_to_22_characters_order_as_the_bytes_do(
        stem in "[0-9A-Z]{0,12}", a in "[0-9A-Z]{1,10}", b in "[0-9A-Z]{0,10}",
    ) {
        let (a, b) = (format!("{stem}{a}"), format!("{stem}{b}"));
        if let (Some(code_a), Some(code_b)) = (pack(a.as_bytes()), pack(b.as_bytes())) {
            prop_assert_eq!(code_a.cmp(&code_b), a.cmp(&b));
        }
    }

    #[test]
    fn keys_are_equal_and_ordered_as_their_texts_are(
        carriers in prop::array::uniform2("[ab.]{1,9}|ups"),
        numbers in prop::array::uniform2(prop_oneof![normal_form(), "[01]{1,3}", "9[01]{22}", "A[0.]"]),
    ) {
        let texts = [0, 1].map(|at| (carriers[at].as_str(), numbers[at].as_bytes()));
        let [a, b] = [0, 1].map(|at| PackageKey::from_normal(Carrier::new(&carriers[at]).unwrap(), &numbers[at]));
        prop_assert_eq!(a.cmp(&b), texts[0].cmp(&texts[1]));
        prop_assert_eq!(a == b, texts[0] == texts[1]);
        prop_assert_eq!(a.to_string(), format!("{}:{}", carriers[0], numbers[0]));
    }

    #[test]
    fn a_key_is_the_normal_form_whatever_the_feed_sends(carrier in sent_carrier(), number in sent_number()) {
        let key = PackageKey::new(&carrier, &number);
        for behind in ["", "behind", "\0\0\0\0\0\0\0\0\0"] {
            let within = format!("{carrier}{behind}");
            let inset = Inset::new(within.as_bytes(), carrier.len());
            let quick = PackageKey::of(inset, number.as_bytes());
            prop_assert!(quick.is_none() || quick == key.clone().ok());
        }
        let read = key.clone().map(|key| (key.carrier().to_owned(), key.number().to_string()));
        prop_assert_eq!(&read, &naive(&carrier, &number));
        if let (Ok(key), Ok((carrier, number))) = (key, read) {
            prop_assert_eq!(key.code(), pack(number.as_bytes()));
            prop_assert_eq!(PackageKey::from_normal(Carrier::new(&carrier).unwrap(), &number), key);
        }
    }
}

#[test]
fn what_feeds_send_needs_no_second_look() {
    for carrier in ["ups", "DHL", "fedex-ab", "royal-mail", "a-carrier.of_twentyfour"] {
        for number in ["1Z999AA10123456784", "777777777777", "RR123456785DE", &"9".repeat(34)] {
            let quick =
                PackageKey::of(Inset::new(carrier.as_bytes(), carrier.len()), number.as_bytes());
            assert_eq!(quick, PackageKey::new(carrier, number).ok());
        }
    }
}

proptest! {
    #[test]
    fn order_codes_never_contradict_the_order_of_bytes(
        mut numbers in prop::collection::vec("[!#09:@AZ~\\[]{1,3}|[0-9A-Z]{20,24}|[0-9]{22,36}", 2..20)
    ) {
        numbers.sort();
        let codes: Vec<u128> = numbers.iter().map(|n| order_code(n.as_bytes())).collect();
        prop_assert!(codes.is_sorted());
        for (number, code) in numbers.iter().zip(codes) {
            prop_assert!(code < 1 << 115);
            if let Some(packed) = pack::pack(number.as_bytes()).filter(|_| number.len() <= 22) {
                prop_assert_eq!(code, packed);
            }
        }
    }
}
