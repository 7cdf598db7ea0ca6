//! Dates of cookies, which are written in many ways (RFC 6265 §5.1.1).

use std::ops::RangeInclusive;

use cookie::time::{Date, Month, OffsetDateTime, Time};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads a date by its parts, whatever their order and whatever stands between them. It is in UTC, even
/// if it says otherwise. `None`: a part is missing, or there is no such day or time.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.as_bytes().split(|byte| is_delimiter(*byte)) {
        // The first of its kind counts, and a token is of one kind.
        let _ = fill(&mut time, || time_of(token))
            || fill(&mut day, || number_of(token, 1..=2))
            || fill(&mut month, || month_of(token))
            || fill(&mut year, || number_of(token, 2..=4));
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    if year < 1601 {
        return None;
    }
    let day = u8::try_from(day?).ok()?;
    let date = Date::from_calendar_date(year.into(), month?, day).ok()?;
    let [hour, minute, second] = time?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(date.with_time(time).assume_utc())
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// Whether the part was missing, and is `found` now.
fn fill<T>(part: &mut Option<T>, found: impl FnOnce() -> Option<T>) -> bool {
    if part.is_some() {
        return false;
    }
    *part = found();
    part.is_some()
}

/// `7:28:00`, and whatever follows. Whether there is such a time is seen later.
fn time_of(token: &[u8]) -> Option<[u8; 3]> {
    let mut fields = token.splitn(3, |byte| *byte == b':');
    let mut field = |is_last| {
        let (number, rest) = leading_number(fields.next()?, 1..=2)?;
        let is_field = is_last || rest.is_empty();
        u8::try_from(number).ok().filter(|_| is_field)
    };
    Some([field(false)?, field(false)?, field(true)?])
}

fn month_of(token: &[u8]) -> Option<Month> {
    let name = token.get(..3)?;
    let is_it = |month: &&str| name.eq_ignore_ascii_case(month.as_bytes());
    let month = (1..).zip(&MONTHS).find(|(_, month)| is_it(month))?.0;
    Month::try_from(month).ok()
}

fn number_of(token: &[u8], digits: RangeInclusive<usize>) -> Option<u16> {
    leading_number(token, digits).map(|(number, _)| number)
}

/// The number of so many digits that it begins with, and what follows.
fn leading_number(text: &[u8], digits: RangeInclusive<usize>) -> Option<(u16, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    if !digits.contains(&number.len()) {
        return None;
    }
    let number = number
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Some((number, rest))
}
