//! What the policies make of a day.

use super::*;

fn at(text: &str) -> Timestamp {
    format!("2026-03-04T{text}Z").parse().unwrap()
}

fn rules(schedule: &str) -> Rules {
    Rules {
        timetable: Timetable::parse(schedule, None).unwrap(),
        concurrency: ConcurrencyPolicy::Forbid,
        missed: MissedRuns::Skip,
        suspend: false,
    }
}

/// One schedule, and what is done about it as time passes.
struct Day(Agenda);

impl Day {
    /// Begins at noon.
    fn of(rules: Rules) -> Self {
        Self(Agenda::new([rules], at("12:00:00")))
    }

    fn progress(&mut self) -> &mut Progress {
        self.0.progress(0).unwrap()
    }

    /// Looks, and begins what is to be begun.
    fn look(&mut self, time: &str) -> Option<Step> {
        let steps = self.0.look(at(time));
        assert!(steps.len() <= 1, "there is one schedule");
        let step = steps.first().map(|(_, step)| *step);
        match step {
            Some(Step::Start) => self.progress().running += 1,
            Some(Step::Replace) => self.progress().running = 1,
            None => {}
        }
        step
    }

    fn ends(&mut self) {
        self.progress().running -= 1;
    }

    /// Runs that were missed, and that were skipped.
    fn fell_out(&mut self) -> (u64, u64) {
        let progress = self.progress();
        (progress.missed, progress.skipped)
    }
}

#[test]
fn a_run_begins_when_it_is_due_and_once() {
    let mut day = Day::of(rules("*/10 * * * *"));
    assert_eq!(
        day.look("12:00:00"),
        None,
        "what is due as it begins is not"
    );
    assert_eq!(day.look("12:09:59"), None);
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    day.ends();
    assert_eq!(day.look("12:10:01"), None);
    assert_eq!(day.progress().next, Some(at("12:20:00")));
    assert_eq!(
        day.look("12:20:05"),
        Some(Step::Start),
        "a little late is on time"
    );
    assert_eq!(day.fell_out(), (0, 0));
}

#[test]
fn the_wait_is_until_the_next_is_due_and_no_longer_than_a_minute() {
    let day = Day::of(rules("0 13 * * *"));
    assert_eq!(
        day.0.wait(at("12:00:00")),
        LOOK,
        "a machine may sleep meanwhile"
    );
    assert_eq!(day.0.wait(at("12:59:58.5")), Duration::from_millis(1500));
    assert_eq!(day.0.wait(at("13:00:01")), Duration::ZERO);
    let several = Agenda::new(
        [rules("0 13 * * *"), rules("30 0 12 * * *")],
        at("12:00:00"),
    );
    assert_eq!(several.wait(at("12:00:10")), Duration::from_secs(20));
    assert_eq!(Agenda::new([], at("12:00:00")).wait(at("12:00:00")), LOOK);
}

#[test]
fn forbid_skips_what_is_due_while_one_is_at_work() {
    let mut day = Day::of(rules("*/10 * * * *"));
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    assert_eq!(day.look("12:20:00"), None);
    day.ends();
    assert_eq!(day.look("12:20:30"), None, "it is not made up for");
    assert_eq!(day.look("12:30:00"), Some(Step::Start));
    assert_eq!(day.fell_out(), (0, 1));
}

#[test]
fn allow_runs_them_side_by_side() {
    let mut day = Day::of(Rules {
        concurrency: ConcurrencyPolicy::Allow,
        ..rules("*/10 * * * *")
    });
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    assert_eq!(day.look("12:20:00"), Some(Step::Start));
    assert_eq!(day.progress().running, 2);
}

#[test]
fn replace_ends_the_one_at_work() {
    let mut day = Day::of(Rules {
        concurrency: ConcurrencyPolicy::Replace,
        ..rules("*/10 * * * *")
    });
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    assert_eq!(day.look("12:20:00"), Some(Step::Replace));
    day.ends();
    assert_eq!(
        day.look("12:30:00"),
        Some(Step::Start),
        "there is none to be ended"
    );
    assert_eq!(day.fell_out(), (0, 0));
}

#[test]
fn what_was_due_while_the_machine_slept_is_counted_and_left() {
    let mut day = Day::of(rules("*/10 * * * *"));
    assert_eq!(day.look("12:35:00"), None);
    assert_eq!(day.fell_out(), (3, 0));
    assert_eq!(day.progress().next, Some(at("12:40:00")));
}

#[test]
fn run_once_makes_up_for_all_that_was_missed_with_one_run() {
    let mut day = Day::of(Rules {
        missed: MissedRuns::RunOnce,
        ..rules("*/10 * * * *")
    });
    assert_eq!(day.look("12:35:00"), Some(Step::Start));
    day.ends();
    assert_eq!(day.look("12:35:01"), None);
    assert_eq!(day.fell_out(), (3, 0));
    // Awake in the very second: the one that is due makes up for the others.
    assert_eq!(day.look("13:00:00"), Some(Step::Start));
    day.ends();
    assert_eq!(day.look("13:00:01"), None);
    assert_eq!(day.fell_out(), (5, 0));
}

#[test]
fn run_once_makes_up_for_what_was_skipped_when_the_one_at_work_is_done() {
    let mut day = Day::of(Rules {
        missed: MissedRuns::RunOnce,
        ..rules("*/10 * * * *")
    });
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    assert_eq!(day.look("12:20:00"), None);
    assert_eq!(day.look("12:30:00"), None);
    day.ends();
    assert_eq!(day.look("12:31:00"), Some(Step::Start));
    day.ends();
    assert_eq!(day.look("12:31:30"), None);
    assert_eq!(day.fell_out(), (0, 2));
}

#[test]
fn a_clock_that_is_set_back_a_little_is_waited_for_and_by_much_followed() {
    let mut day = Day::of(rules("*/10 * * * *"));
    assert_eq!(day.look("12:10:00"), Some(Step::Start));
    day.ends();
    assert_eq!(day.look("11:15:00"), None, "nothing runs twice");
    assert_eq!(day.progress().next, Some(at("12:20:00")));
    assert_eq!(day.look("08:15:00"), None);
    assert_eq!(
        day.progress().next,
        Some(at("08:20:00")),
        "the clock was wrong before"
    );
    assert_eq!(day.look("08:20:00"), Some(Step::Start));
}

#[test]
fn a_leap_over_years_of_seconds_is_not_counted_to_its_end() {
    let mut day = Day::of(rules("* * * * * *"));
    let later: Timestamp = "2029-03-04T12:00:00Z".parse().unwrap();
    let steps = day.0.look(later);
    assert!(steps.is_empty());
    assert_eq!(day.fell_out(), (COUNTED, 0));
    assert_eq!(
        day.progress().next,
        Some("2029-03-04T12:00:01Z".parse().unwrap())
    );
}

#[test]
fn one_that_is_suspended_is_never_due() {
    let mut day = Day::of(Rules {
        suspend: true,
        missed: MissedRuns::RunOnce,
        ..rules("* * * * *")
    });
    assert_eq!(day.look("12:10:00"), None);
    assert_eq!(day.progress().next, None);
    assert_eq!(day.fell_out(), (0, 0));
}

#[test]
fn a_new_version_goes_on_where_the_old_one_was() {
    let mut old = Agenda::new([rules("*/10 * * * *")], at("12:00:00"));
    old.look(at("12:35:00"));
    old.progress(0).unwrap().running = 1;
    let mut new = Agenda::new([rules("*/10 * * * *"), rules("0 13 * * *")], at("12:40:03"));
    new.goes_on(0, &old, 0);
    // Due between the two.
    assert_eq!(new.progress(0).unwrap().next, Some(at("12:40:00")));
    assert_eq!(new.progress(0).unwrap().missed, 3);
    assert_eq!(new.progress(0).unwrap().running, 0);
    let mut other = Agenda::new([rules("*/15 * * * *")], at("12:40:03"));
    other.goes_on(0, &old, 0);
    assert_eq!(other.progress(0).unwrap().next, Some(at("12:45:00")));
}
