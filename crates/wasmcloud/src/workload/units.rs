//! Lengths of time and sizes as people write them.

use std::time::Duration;

/// The units of a length of time, in milliseconds.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
/// The units of a size, in bytes.
const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
/// Longer ones are mistakes.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A length of time such as `30s`.
///
/// # Errors
/// What was wanted.
pub fn duration(text: &str) -> Result<Duration, String> {
    let found = with_unit(text, &UNITS).map(Duration::from_millis);
    let found = found.ok_or("wanted a length of time such as `500ms`, `30s`, `10m` or `1h`")?;
    if found > LONGEST {
        return Err("wanted at most a week, `168h`".to_owned());
    }
    Ok(found)
}

/// A size in bytes such as `64KiB`.
///
/// # Errors
/// What was wanted.
pub fn size(text: &str) -> Result<u64, String> {
    let found = with_unit(text, &SIZES).filter(|found| *found > 0);
    found.ok_or_else(|| "wanted a size such as `512B`, `64KiB`, `10MiB` or `1GiB`".to_owned())
}

/// A whole number with one of some units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*worth)
}
