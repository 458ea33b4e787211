//! When schedules are due, where clocks change, and what is said of text that is none.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn timetable(schedule: &str, zone: &str) -> Timetable {
    Timetable::parse(schedule, Some(zone)).unwrap()
}

/// The next times as the zone's clocks show them.
fn next(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let timetable = timetable(schedule, zone);
    let mut time = at(after);
    (0..count)
        .map(|_| {
            time = timetable.next(time).unwrap();
            timetable.show(time)
        })
        .collect()
}

#[test]
fn five_fields_six_fields_and_words() {
    let noon = "2026-03-04T12:00:00Z";
    assert_eq!(
        next("30 4 * * *", "UTC", noon, 2),
        [
            "2026-03-05T04:30:00+00:00[UTC]",
            "2026-03-06T04:30:00+00:00[UTC]"
        ]
    );
    assert_eq!(
        next("*/20 * * * * *", "UTC", noon, 3),
        [
            "2026-03-04T12:00:20+00:00[UTC]",
            "2026-03-04T12:00:40+00:00[UTC]",
            "2026-03-04T12:01:00+00:00[UTC]"
        ]
    );
    assert_eq!(
        next("@hourly", "UTC", noon, 1),
        ["2026-03-04T13:00:00+00:00[UTC]"]
    );
    assert_eq!(
        next("0 9 * * mon-fri", "Europe/Berlin", noon, 3),
        [
            "2026-03-05T09:00:00+01:00[Europe/Berlin]",
            "2026-03-06T09:00:00+01:00[Europe/Berlin]",
            "2026-03-09T09:00:00+01:00[Europe/Berlin]"
        ]
    );
}

#[test]
fn a_part_of_a_second_does_not_make_it_due_again() {
    let timetable = timetable("* * * * * *", "UTC");
    let next = timetable.next(at("2026-03-04T12:00:00.999Z")).unwrap();
    assert_eq!(next, at("2026-03-04T12:00:01Z"));
}

#[test]
fn leap_days_come_every_four_years() {
    assert_eq!(
        next("0 0 29 2 *", "UTC", "2025-01-01T00:00:00Z", 2),
        [
            "2028-02-29T00:00:00+00:00[UTC]",
            "2032-02-29T00:00:00+00:00[UTC]"
        ]
    );
}

/// Berlin, 29 March 2026: 02:00 becomes 03:00.
#[test]
fn where_clocks_go_forward_a_fixed_time_is_due_right_after_the_gap() {
    let before = "2026-03-28T12:00:00Z";
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", before, 2),
        [
            "2026-03-29T03:00:00+02:00[Europe/Berlin]",
            "2026-03-30T02:30:00+02:00[Europe/Berlin]"
        ]
    );
    assert_eq!(
        next("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 2),
        [
            "2026-03-29T03:00:00+02:00[Europe/Berlin]",
            "2026-03-29T04:00:00+02:00[Europe/Berlin]"
        ]
    );
}

/// Berlin, 25 October 2026: 03:00 becomes 02:00.
#[test]
fn where_clocks_go_back_a_fixed_time_is_due_once_and_an_interval_in_every_hour() {
    let before = "2026-10-24T12:00:00Z";
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", before, 2),
        [
            "2026-10-25T02:30:00+02:00[Europe/Berlin]",
            "2026-10-26T02:30:00+01:00[Europe/Berlin]"
        ]
    );
    assert_eq!(
        next("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3),
        [
            "2026-10-25T02:30:00+02:00[Europe/Berlin]",
            "2026-10-25T02:30:00+01:00[Europe/Berlin]",
            "2026-10-25T03:30:00+01:00[Europe/Berlin]"
        ]
    );
}

fn wrong(schedule: &str) -> String {
    let error = Timetable::parse(schedule, None).unwrap_err();
    assert_eq!(error.wrong, Wrong::Schedule);
    format!("{error}\nhint: {}", error.hint.clone().unwrap())
}

#[test]
fn an_error_names_the_field_and_what_it_may_hold() {
    for (schedule, told, may) in [
        (
            "61 * * * *",
            "the minute `61` of the schedule `61 * * * *` cannot be: number out of bounds",
            "a minute is `*`, or numbers of 0-59",
        ),
        (
            "0 0 4 * * FUNDAY",
            "the day of the week `FUNDAY`",
            "a day of the week is `*`, or numbers of 0-7 or SUN-SAT",
        ),
        (
            "0 25 * * *",
            "the hour `25`",
            "an hour is `*`, or numbers of 0-23",
        ),
        ("*/0 * * * *", "the minute `*/0`", "a minute is"),
        ("99 * * * * *", "the second `99`", "a second is"),
        (
            "0 0 1 13 *",
            "the month `13`",
            "a month is `*`, or numbers of 1-12 or JAN-DEC",
        ),
    ] {
        let wrong = wrong(schedule);
        assert!(wrong.starts_with(told), "{wrong}");
        assert!(wrong.contains(&format!("\nhint: {may}")), "{wrong}");
    }
}

#[test]
fn an_error_names_what_else_is_wrong() {
    for (schedule, told) in [
        (
            "",
            "`` is no schedule: it is empty\nhint: write `minute hour day month weekday`",
        ),
        (
            "* * *",
            "`* * *` is no schedule: it has 3 fields, wanted 5, or 6 with seconds\n",
        ),
        (
            "* * * * * * 2027",
            "`* * * * * * 2027` is no schedule: it has 7 fields, wanted 5",
        ),
        (
            "@hurly",
            "`@hurly` is no schedule\nhint: did you mean `@hourly`?",
        ),
        (
            "@noon",
            "`@noon` is no schedule\nhint: the words are @yearly, ",
        ),
        (
            "0 @daily",
            "`0 @daily` is no schedule: a word such as `@hourly` stands alone\n",
        ),
        ("0 0 30 2 *", "the schedule `0 0 30 2 *` is never due\n"),
    ] {
        let wrong = wrong(schedule);
        assert!(wrong.starts_with(told), "{wrong}");
    }
    assert!(wrong(&"1,".repeat(600)).contains("it has 1200 characters"));
}

#[test]
fn an_unknown_zone_gets_the_nearest() {
    let error = |zone: &str| {
        let error = Timetable::parse("@daily", Some(zone)).unwrap_err();
        assert_eq!(error.wrong, Wrong::TimeZone);
        format!("{error}; {}", error.hint.clone().unwrap())
    };
    assert_eq!(
        error("Europe/Berlim"),
        "there is no time zone `Europe/Berlim`; did you mean `Europe/Berlin`?"
    );
    assert_eq!(
        error("tokyo"),
        "there is no time zone `tokyo`; did you mean `Asia/Tokyo`?"
    );
    assert!(
        error("somewhere").ends_with("write a name of the IANA database, such as `Europe/Berlin`")
    );
}
