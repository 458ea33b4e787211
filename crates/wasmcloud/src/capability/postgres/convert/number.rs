//! Numbers: with a floating point as the interface has them, decimal ones, and money.

use super::super::value::Float;
use super::wire::{Damaged, Wire};

/// The exponent of what is no number, or infinite, of 64 bits …
const NO_DOUBLE: i16 = 972;
/// … and of 32.
const NO_SINGLE: i16 = 105;

/// The parts of a number of 64 bits.
pub(super) fn of_double(number: f64) -> Float {
    let bits = number.to_bits();
    let exponent = i16::try_from(bits >> 52 & 0x7FF).unwrap_or_default();
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = match exponent {
        0 => fraction << 1,
        _ => fraction | 1 << 52,
    };
    (mantissa, exponent - 1075, sign(number.is_sign_negative()))
}

/// The parts of a number of 32 bits.
pub(super) fn of_single(number: f32) -> Float {
    let bits = number.to_bits();
    let exponent = i16::try_from(bits >> 23 & 0xFF).unwrap_or_default();
    let fraction = bits & ((1 << 23) - 1);
    let mantissa = match exponent {
        0 => fraction << 1,
        _ => fraction | 1 << 23,
    };
    let mantissa = u64::from(mantissa);
    (mantissa, exponent - 150, sign(number.is_sign_negative()))
}

fn sign(negative: bool) -> i8 {
    match negative {
        true => -1,
        false => 1,
    }
}

/// The number of these parts.
pub(super) fn to_f64((mantissa, exponent, sign): Float) -> f64 {
    if exponent == NO_DOUBLE && mantissa > 1 << 52 {
        return f64::NAN;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is rounded to what there is")]
    let mut number = mantissa as f64;
    // Powers of two are exact as long as they are small; past these, everything is zero or infinite.
    let mut left = i32::from(exponent).clamp(-2200, 2200);
    while left != 0 && number != 0.0 {
        let step = left.clamp(-1000, 1000);
        number *= 2_f64.powi(step);
        left -= step;
    }
    match sign {
        0 => 0.0,
        ..0 => -number,
        _ => number,
    }
}

fn to_f32(parts: Float) -> f32 {
    let (mantissa, exponent, _) = parts;
    if exponent == NO_SINGLE && mantissa > 1 << 23 {
        return f32::NAN;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is rounded to what there is"
    )]
    {
        to_f64(parts) as f32
    }
}

pub(super) fn double(parts: Float) -> String {
    told(to_f64(parts))
}

/// Written from its own bits: a longer text would be another number.
pub(super) fn single(parts: Float) -> String {
    let number = to_f32(parts);
    match number.is_finite() {
        true => format!("{number:e}"),
        false => told(f64::from(number)),
    }
}

fn told(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number == f64::INFINITY {
        "Infinity".to_owned()
    } else if number == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        format!("{number:e}")
    }
}

/// A decimal number in the server's format.
pub(super) fn decimal(raw: &[u8]) -> Result<String, Damaged> {
    let mut wire = Wire::new(raw);
    let digits = usize::from(wire.u16()?);
    let weight = i32::from(wire.i16()?);
    let sign = wire.u16()?;
    let scale = usize::from(wire.u16()?);
    let special = match sign {
        0 | 0x4000 => None,
        0xC000 => Some("NaN"),
        0xD000 => Some("Infinity"),
        0xF000 => Some("-Infinity"),
        _ => return Err(Damaged),
    };
    if let Some(special) = special {
        return Ok(special.to_owned());
    }
    let groups = (0..digits)
        .map(|_| wire.u16())
        .collect::<Result<Vec<_>, _>>()?;
    wire.end()?;
    let group = |index: i32| {
        let index = usize::try_from(index).ok();
        index
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::from(if sign == 0x4000 { "-" } else { "" });
    match weight {
        ..0 => text.push('0'),
        _ => {
            text.push_str(&group(0).to_string());
            for index in 1..=weight {
                text.push_str(&format!("{:04}", group(index)));
            }
        }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut index = weight + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(index)));
            index += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Ok(text)
}

/// An amount of money, of its smallest units.
pub(super) fn money(units: i64, digits: u32) -> String {
    let digits = usize::try_from(digits).unwrap_or_default();
    let sign = if units < 0 { "-" } else { "" };
    let text = format!("{:0width$}", units.unsigned_abs(), width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    match part {
        "" => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part}"),
    }
}

/// The smallest units of an amount of money.
pub(super) fn units(amount: &str, digits: u32) -> Result<i64, String> {
    let wrong =
        || format!("an amount of money is no number with at most {digits} digits after its point");
    let (negative, unsigned) = match amount.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, amount.strip_prefix('+').unwrap_or(amount)),
    };
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let part = part.trim_end_matches('0');
    let digits = usize::try_from(digits).unwrap_or_default();
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) || part.len() > digits {
        return Err(wrong());
    }
    let units: i128 = format!("{whole}{part:0<digits$}")
        .parse()
        .map_err(|_| wrong())?;
    let units = if negative { -units } else { units };
    i64::try_from(units).map_err(|_| "an amount of money is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn numbers_with_a_floating_point_come_back_to_the_bit() {
        let numbers = [
            0.0,
            -0.0,
            1.5,
            -2.25,
            1e300,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            0.1,
        ];
        for number in numbers
            .into_iter()
            .chain([f64::INFINITY, f64::NEG_INFINITY])
        {
            assert_eq!(
                to_f64(of_double(number)).to_bits(),
                number.to_bits(),
                "{number}"
            );
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            let single = number as f32;
            assert_eq!(
                to_f32(of_single(single)).to_bits(),
                single.to_bits(),
                "{single}"
            );
        }
        assert!(to_f64(of_double(f64::NAN)).is_nan());
        assert!(to_f32(of_single(f32::NAN)).is_nan());
        assert_eq!(of_double(1.5), (6_755_399_441_055_744, -52, 1));
        // Whoever has no parts of this size may write others.
        assert_eq!(double((3, -1, 1)), "1.5e0");
        assert_eq!(double((1, i16::MIN, -1)), "-0e0");
        assert_eq!(double((1, i16::MAX, -1)), "-Infinity");
    }

    #[test]
    fn money_is_counted_in_its_smallest_units() {
        for (text, digits, wanted) in [
            ("12.34", 2, 1234),
            ("-0.05", 2, -5),
            ("7", 2, 700),
            ("7", 0, 7),
            ("1.50", 1, 15),
            ("-92233720368547758.08", 2, i64::MIN),
        ] {
            assert_eq!(units(text, digits), Ok(wanted), "{text}");
        }
        assert_eq!(money(-5, 2), "-0.05");
        assert_eq!(money(1234, 2), "12.34");
        assert_eq!(money(7, 0), "7");
        for wrong in ["", ".", "1.234", "$1", "1,5", "1e3", "92233720368547758.08"] {
            units(wrong, 2).unwrap_err();
        }
    }
}
