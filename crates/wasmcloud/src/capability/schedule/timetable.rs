//! When a schedule is due: a cron expression, read by the clocks of a time zone.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::workload::{nearest, quoted};

/// The words that stand for an expression.
const WORDS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];
/// What each of six fields is for, and what it may hold.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0-59"),
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31"),
    ("month", "1-12 or JAN-DEC"),
    ("day of the week", "0-7 or SUN-SAT"),
];
/// A day after which every expression that is ever due is due: the first of a leap year, long ago.
const BEGINNING: i64 = 1_704_067_200;
/// No name of a zone is longer.
const LONGEST_ZONE: usize = 100;
/// No expression is longer.
const LONGEST: usize = 1000;

/// When a schedule is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

/// What of a timetable is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The expression.
    Schedule,
    /// The time zone.
    TimeZone,
}

/// Text that is no timetable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TimetableError {
    /// What of it.
    pub wrong: Wrong,
    /// What was found and what was wanted.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl TimetableError {
    fn schedule(message: String, hint: impl Into<String>) -> Self {
        Self {
            wrong: Wrong::Schedule,
            message,
            hint: Some(hint.into()),
        }
    }
}

impl Timetable {
    /// Reads an expression and the name of a zone; without one, the zone is UTC.
    ///
    /// # Errors
    /// When either is wrong: which field, and what it should be.
    pub fn parse(schedule: &str, zone: Option<&str>) -> Result<Self, TimetableError> {
        let zone = zone.map_or(Ok(TimeZone::UTC), parse_zone)?;
        check_form(schedule)?;
        let cron = parser()
            .parse(schedule)
            .map_err(|error| wrong_field(schedule, &error.to_string()))?;
        let timetable = Self { cron, zone };
        let beginning = Timestamp::from_second(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH);
        if timetable.next(beginning).is_none() {
            let message = format!("the schedule {} is never due", quoted(schedule));
            return Err(TimetableError::schedule(
                message,
                "choose a day that there is, such as the 29th of February",
            ));
        }
        Ok(timetable)
    }

    /// The first time that is due after another one. `None`: never again.
    ///
    /// Where clocks go forward, what is due at a fixed time in the hour that is left out is due right after it; where they go back,
    /// it is due once. What is due at every hour, minute or second is so in every hour that passes.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp())
    }

    /// A time as the clocks of the zone show it.
    #[must_use]
    pub fn show(&self, time: Timestamp) -> String {
        let zoned = time.round(jiff::Unit::Second).unwrap_or(time);
        zoned.to_zoned(self.zone.clone()).to_string()
    }
}

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
}

fn parse_zone(name: &str) -> Result<TimeZone, TimetableError> {
    let known = jiff::tz::db();
    let found = (name.len() <= LONGEST_ZONE)
        .then(|| known.get(name).ok())
        .flatten();
    found.ok_or_else(|| {
        let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
        // People know cities better than continents.
        let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
        let wanted = city(name);
        let near = nearest(name, names.iter().map(String::as_str)).or_else(|| {
            names
                .iter()
                .map(String::as_str)
                .find(|it| city(it) == wanted)
        });
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name of the IANA database, such as `Europe/Berlin`".to_owned(),
        };
        TimetableError {
            wrong: Wrong::TimeZone,
            message: format!("there is no time zone {}", quoted(name)),
            hint: Some(hint),
        }
    })
}

/// Whether it has the form of an expression.
fn check_form(schedule: &str) -> Result<(), TimetableError> {
    const HINT: &str = "write `minute hour day month weekday`, such as `30 4 * * MON-FRI`, with seconds in front if need be, or a word such as `@hourly`";
    let fail = |problem: String| {
        let message = format!("{} is no schedule: {problem}", quoted(schedule));
        Err(TimetableError::schedule(message, HINT))
    };
    if schedule.len() > LONGEST {
        return fail(format!("it has {} characters", schedule.len()));
    }
    let word = schedule.trim();
    if word.starts_with('@') {
        let lower = word.to_lowercase();
        if WORDS.contains(&lower.as_str()) {
            return Ok(());
        }
        let message = format!("{} is no schedule", quoted(schedule));
        let hint = match nearest(&lower, WORDS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the words are {}", WORDS.join(", ")),
        };
        return Err(TimetableError::schedule(message, hint));
    }
    if word.contains('@') {
        return fail("a word such as `@hourly` stands alone".to_owned());
    }
    match schedule.split_whitespace().count() {
        5 | 6 => Ok(()),
        0 => fail("it is empty".to_owned()),
        1 => fail("it has 1 field, wanted 5, or 6 with seconds".to_owned()),
        found => fail(format!(
            "it has {found} fields, wanted 5, or 6 with seconds"
        )),
    }
}

/// Which field is to blame: the first that is wrong among fields that are all right.
fn wrong_field(schedule: &str, problem: &str) -> TimetableError {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let missing = FIELDS.len().saturating_sub(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let place = index + missing;
        let alone: Vec<&str> = (0..FIELDS.len())
            .map(|other| if other == place { *field } else { "*" })
            .collect();
        if let Err(error) = parser().parse(&alone.join(" "))
            && let Some((name, range)) = FIELDS.get(place)
        {
            let message = format!(
                "the {name} {} of the schedule {} cannot be: {}",
                quoted(field),
                quoted(schedule),
                plain(&error.to_string())
            );
            return TimetableError::schedule(
                message,
                format!(
                    "{} {name} is `*`, or numbers of {range}: one, a range, several with commas, or every so many, such as `*/5`",
                    if *name == "hour" { "an" } else { "a" }
                ),
            );
        }
    }
    let message = format!("{} is no schedule: {}", quoted(schedule), plain(problem));
    TimetableError::schedule(message, "write `minute hour day month weekday`")
}

/// The library's words without its own names for things.
fn plain(problem: &str) -> String {
    let problem = problem
        .trim_start_matches("Component error: ")
        .trim_start_matches("Invalid pattern: ")
        .trim_start_matches("Pattern contains illegal characters: ")
        .trim_end_matches('.');
    let mut chars = problem.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "it is not understood".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
