//! Days and times. PostgreSQL counts days and microseconds from the year 2000, in the Gregorian calendar for all time.

use super::super::value::{Date, Days, Offset, Time, TimeTz, Timestamp, TimestampTz};
use super::from_server::Unread;
use super::wire::{Damaged, Wire};

/// Days from the first of March of the year 0 to the first day of 2000.
const TO_2000: i64 = 730_425;
/// Days in 400 years.
const ERA: i64 = 146_097;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// How far a clock may be from UTC, in seconds.
const FARTHEST: i32 = 16 * 3600 - 1;

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A day, and what stands behind a time of it: years before 1 are counted backwards.
fn day(year: i32, month: u32, day: u32) -> Result<(String, &'static str), String> {
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return Err(format!(
            "there is no day {day} in the month {month} of the year {year}"
        ));
    }
    let (year, suffix) = match year {
        1.. => (i64::from(year), ""),
        _ => (1 - i64::from(year), " BC"),
    };
    Ok((format!("{year:04}-{month:02}-{day:02}"), suffix))
}

pub(super) fn date(date: Date) -> Result<String, String> {
    Ok(match date {
        Date::PositiveInfinity => "infinity".to_owned(),
        Date::NegativeInfinity => "-infinity".to_owned(),
        Date::Ymd((year, month, of_month)) => {
            let (text, suffix) = day(year, month, of_month)?;
            text + suffix
        }
    })
}

pub(super) fn time(time: Time) -> Result<String, String> {
    let Time {
        hour,
        min,
        sec,
        micro,
    } = time;
    let last = hour == 24 && min == 0 && sec == 0 && micro == 0;
    if (hour > 23 && !last) || min > 59 || sec > 59 || micro > 999_999 {
        return Err("there is no such time of day".to_owned());
    }
    Ok(format!("{hour:02}:{min:02}:{sec:02}.{micro:06}"))
}

/// The server understands the time zone, or says that it does not.
pub(super) fn time_tz(at: &TimeTz) -> Result<String, String> {
    Ok(format!("{} {}", time(at.time)?, at.zone.trim())
        .trim_end()
        .to_owned())
}

/// A clock's distance from UTC, as `+02:00` or, where there is more to say, `+02:00:30`.
fn clock(east: i32) -> String {
    let sign = if east < 0 { '-' } else { '+' };
    let seconds = east.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match seconds {
        0 => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// A point in time, by no clock or by one.
pub(super) fn timestamp(at: Timestamp, by: Option<Offset>) -> Result<String, String> {
    let Date::Ymd((year, month, of_month)) = at.date else {
        return date(at.date);
    };
    let (text, suffix) = day(year, month, of_month)?;
    let clock = match by {
        None => String::new(),
        Some(offset) => {
            let east = match offset {
                Offset::East(seconds) => Some(seconds),
                Offset::West(seconds) => seconds.checked_neg(),
            };
            let east = east.filter(|east| (-FARTHEST..=FARTHEST).contains(east));
            clock(east.ok_or("no clock is so far from UTC")?)
        }
    };
    Ok(format!("{text} {}{clock}{suffix}", time(at.time)?))
}

/// The days of a range. One without an end ends with infinity, as the interface has no other.
pub(super) fn days(days: Days) -> Result<String, String> {
    let open = if days.start_inclusive { '[' } else { '(' };
    let close = if days.end_inclusive { ']' } else { ')' };
    let start = match days.start {
        Date::NegativeInfinity => String::new(),
        start => date(start)?,
    };
    let end = match days.end {
        Date::PositiveInfinity => String::new(),
        end => date(end)?,
    };
    Ok(format!("{open}{start},{end}{close}"))
}

/// The day so many days after the first one of 2000.
fn ymd(days: i64) -> Result<Date, Damaged> {
    let days = days + TO_2000;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Years begin in March here, so that the odd day is the last one.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let small = |number: i64| u32::try_from(number).map_err(|_| Damaged);
    let year = i32::try_from(year).map_err(|_| Damaged)?;
    Ok(Date::Ymd((year, small(month)?, small(day)?)))
}

pub(super) fn read_date(days: i32) -> Result<Date, Damaged> {
    match days {
        i32::MAX => Ok(Date::PositiveInfinity),
        i32::MIN => Ok(Date::NegativeInfinity),
        days => ymd(days.into()),
    }
}

pub(super) fn read_time(micros: i64) -> Result<Time, Damaged> {
    let micros = u64::try_from(micros).map_err(|_| Damaged)?;
    let seconds = micros / 1_000_000;
    let small = |number: u64| u32::try_from(number).map_err(|_| Damaged);
    Ok(Time {
        hour: small(seconds / 3600)?,
        min: small(seconds / 60 % 60)?,
        sec: small(seconds % 60)?,
        micro: small(micros % 1_000_000)?,
    })
}

pub(super) fn read_time_tz(wire: &mut Wire<'_>) -> Result<TimeTz, Damaged> {
    let time = read_time(wire.i64()?)?;
    // The server counts to the west.
    let east = wire.i32()?.checked_neg().ok_or(Damaged)?;
    Ok(TimeTz {
        zone: clock(east),
        time,
    })
}

pub(super) fn read_timestamp(micros: i64) -> Result<Timestamp, Damaged> {
    let date = match micros {
        i64::MAX => Date::PositiveInfinity,
        i64::MIN => Date::NegativeInfinity,
        micros => ymd(micros.div_euclid(DAY))?,
    };
    let of_day = match date {
        Date::Ymd(_) => micros.rem_euclid(DAY),
        _ => 0,
    };
    let time = read_time(of_day)?;
    Ok(Timestamp { date, time })
}

/// By the clock of UTC.
pub(super) fn read_timestamp_tz(micros: i64) -> Result<TimestampTz, Damaged> {
    Ok(TimestampTz {
        timestamp: read_timestamp(micros)?,
        offset: Offset::West(0),
    })
}

/// A span of time in words, as the server writes it: the interface has no value for it.
pub(super) fn read_interval(wire: &mut Wire<'_>) -> Result<String, Damaged> {
    let (micros, days, months) = (wire.i64()?, wire.i32()?, wire.i32()?);
    let mut parts = Vec::new();
    let mut part = |count: i32, name: &str| {
        if count != 0 {
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {name}{plural}"));
        }
    };
    part(months / 12, "year");
    part(months % 12, "mon");
    part(days, "day");
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        let micros = micros.unsigned_abs();
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let mut text = format!("{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60);
        if micros != 0 {
            let fraction = format!("{micros:06}");
            text = format!("{text}.{}", fraction.trim_end_matches('0'));
        }
        parts.push(text);
    }
    Ok(parts.join(" "))
}

pub(super) fn read_days(wire: &mut Wire<'_>) -> Result<Days, Unread> {
    let flags = wire.u8()?;
    if flags & 1 != 0 {
        return Err(Unread::of("a range without days has neither start nor end"));
    }
    let mut bound = |open: u8, infinity: Date| -> Result<Date, Damaged> {
        if flags & open != 0 {
            return Ok(infinity);
        }
        read_date(Wire::new(wire.sized()?.ok_or(Damaged)?).i32()?)
    };
    Ok(Days {
        start: bound(8, Date::NegativeInfinity)?,
        start_inclusive: flags & 2 != 0,
        end: bound(16, Date::PositiveInfinity)?,
        end_inclusive: flags & 4 != 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        for (days, wanted) in [
            (0, (2000, 1, 1)),
            (59, (2000, 2, 29)),
            (60, (2000, 3, 1)),
            (-1, (1999, 12, 31)),
            (-730_119, (1, 1, 1)),
            (-730_120, (0, 12, 31)),
            (-2_451_545, (-4713, 11, 24)),
            (2_145_031_948, (5_874_897, 12, 31)),
        ] {
            assert_eq!(read_date(days), Ok(Date::Ymd(wanted)), "{days}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_without_the_server() {
        for wrong in [
            (2023, 2, 29),
            (2024, 13, 1),
            (2024, 0, 1),
            (2024, 4, 31),
            (1, 1, 0),
        ] {
            date(Date::Ymd(wrong)).unwrap_err();
        }
        assert_eq!(date(Date::Ymd((0, 2, 29))).unwrap(), "0001-02-29 BC");
        assert_eq!(
            date(Date::Ymd((i32::MIN, 1, 1))).unwrap(),
            "2147483649-01-01 BC"
        );
        let at = |hour, min, sec, micro| Time {
            hour,
            min,
            sec,
            micro,
        };
        assert_eq!(time(at(24, 0, 0, 0)).unwrap(), "24:00:00.000000");
        for wrong in [
            at(24, 0, 0, 1),
            at(1, 60, 0, 0),
            at(1, 0, 60, 0),
            at(1, 0, 0, 1_000_000),
        ] {
            time(wrong).unwrap_err();
        }
        let day = Timestamp {
            date: Date::Ymd((2024, 5, 6)),
            time: at(7, 8, 9, 10),
        };
        let west = timestamp(day, Some(Offset::West(4 * 3600))).unwrap();
        assert_eq!(west, "2024-05-06 07:08:09.000010-04:00");
        for wrong in [Offset::East(FARTHEST + 1), Offset::West(i32::MIN)] {
            timestamp(day, Some(wrong)).unwrap_err();
        }
    }
}
