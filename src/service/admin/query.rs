//! Parameters of a request.

use super::answer::Refused;

/// How many at most.
pub fn limit(asked: Option<usize>, default: usize, most: usize) -> Result<usize, Refused> {
    match asked {
        None => Ok(default.min(most)),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(_) => Err(Refused::bad(format!("`limit` must be a number from 1 to {most}"))),
    }
}

/// One word of a vocabulary, if it is asked for.
pub fn word<T: Copy + 'static>(
    name: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Refused> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let known = || all.iter().map(|one| as_str(*one)).collect::<Vec<_>>().join(", ");
    parse(&text)
        .map(Some)
        .ok_or_else(|| Refused::bad(format!("`{name}` must be one of {}", known())))
}
