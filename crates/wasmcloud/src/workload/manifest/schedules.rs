//! The entries of `schedules`: what a clock calls, and when.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::raw;
use crate::workload::diagnostic::quoted;
use crate::workload::names::ScheduleName;
use crate::workload::schedule::{ConcurrencyPolicy, MissedRuns, Schedule};

pub(super) fn schedules(checker: &mut Checker, spec: &raw::Spec) -> Vec<Schedule> {
    // The written names: a component with an error of its own must not break its schedules as well.
    let components = spec.components.iter().flat_map(|list| &list.value);
    let names = components.filter_map(|component| component.value.name.as_ref());
    let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
    let mut seen = BTreeMap::new();
    let items = spec.schedules.iter().flat_map(|list| &list.value);
    let mut schedules = Vec::new();
    for (index, item) in items.enumerate() {
        place(checker, index, item);
        schedules.extend(schedule(checker, item, &names, &mut seen));
    }
    schedules
}

fn place(checker: &mut Checker, index: usize, item: &Spanned<raw::Schedule>) {
    let path = format!("spec.schedules.{index}");
    let raw = &item.value;
    checker.place(&path, item.referenced);
    for (name, field) in [
        ("name", &raw.name),
        ("component", &raw.component),
        ("function", &raw.function),
        ("schedule", &raw.schedule),
        ("timeZone", &raw.time_zone),
        ("concurrencyPolicy", &raw.concurrency_policy),
        ("missedRuns", &raw.missed_runs),
    ] {
        checker.place_field(&path, name, field.as_ref());
    }
    checker.place_field(&path, "args", raw.args.as_ref());
    let args = raw.args.iter().flat_map(|list| &list.value);
    for (number, arg) in args.enumerate() {
        checker.place(&format!("{path}.args.{number}"), arg.referenced);
    }
}

fn schedule(
    checker: &mut Checker,
    item: &Spanned<raw::Schedule>,
    names: &[&str],
    seen: &mut BTreeMap<String, Location>,
) -> Option<Schedule> {
    let at = item.referenced;
    let raw = &item.value;
    let name = checker.required(at, "the schedule", "name", raw.name.as_ref());
    let name = name.and_then(|name| schedule_name(checker, name, seen));
    let what = name.as_ref().map_or_else(
        || "the schedule".to_owned(),
        |name| format!("schedule `{name}`"),
    );
    let component = checker.required(at, &what, "component", raw.component.as_ref());
    let component = component.and_then(|name| checker.component(name, names));
    let schedule = checker.required(at, &what, "schedule", raw.schedule.as_ref());
    let function = raw.function.as_ref();
    let function = function.map(|function| checker.parse(function));
    let concurrency = word(
        checker,
        raw.concurrency_policy.as_ref(),
        "is no policy for runs that overlap",
        ConcurrencyPolicy::ALL.map(|it| (it.as_str(), it)),
    );
    let missed = word(
        checker,
        raw.missed_runs.as_ref(),
        "is no policy for runs that were missed",
        MissedRuns::ALL.map(|it| (it.as_str(), it)),
    );
    if let (Some(args), None) = (&raw.args, &raw.function)
        && !args.value.is_empty()
    {
        let message = "`args` are for a `function`, and there is none: a command is run without";
        let hint = "name the `function`, or remove `args`";
        checker.error(args.referenced, message, Some(hint));
    }
    Some(Schedule {
        name: name?,
        component: component?,
        function: match function {
            None => None,
            Some(function) => Some(function?),
        },
        args: raw
            .args
            .iter()
            .flat_map(|list| &list.value)
            .map(|arg| arg.value.clone())
            .collect(),
        schedule: schedule?.value.clone(),
        time_zone: raw.time_zone.as_ref().map(|zone| zone.value.clone()),
        concurrency: concurrency?,
        missed: missed?,
        suspend: raw.suspend.unwrap_or_default(),
    })
}

fn schedule_name(
    checker: &mut Checker,
    name: &Spanned<String>,
    seen: &mut BTreeMap<String, Location>,
) -> Option<ScheduleName> {
    let what = format!("a schedule called {}", quoted(&name.value));
    checker.unique(seen, name.value.clone(), &what, name.referenced);
    checker.parse(name)
}

/// One of some words; the default where nothing is written.
fn word<T: Copy + Default, const N: usize>(
    checker: &mut Checker,
    text: Option<&Spanned<String>>,
    message: &str,
    known: [(&str, T); N],
) -> Option<T> {
    let Some(text) = text else {
        return Some(T::default());
    };
    let found = known.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        checker.unknown(text, message, &known.map(|(word, _)| word));
    }
    found.map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use std::path::Path;

    use crate::workload::manifest::parse;
    use crate::workload::{ConcurrencyPolicy, MissedRuns, Workload};

    const HEAD: &str = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec:\n  components: [{name: jobs, image: ./jobs.wasm}]\n  schedules:\n";

    fn read(schedules: &str) -> Workload {
        let parsed = parse(&format!("{HEAD}{schedules}"), Path::new("w.yaml"));
        let mut parsed = parsed.map_err(|errors| errors.to_string()).unwrap();
        parsed.remove(0).workload
    }

    fn errors(schedules: &str) -> String {
        let parsed = parse(&format!("{HEAD}{schedules}"), Path::new("w.yaml"));
        parsed.unwrap_err().to_string()
    }

    #[test]
    fn a_schedule_reads_as_written_and_back() {
        let workload = read(
            "  - {name: tidy, component: jobs, schedule: '@hourly'}\n  - name: count\n    component: jobs\n    function: demo:jobs/count#all\n    args: ['{a: 1}', '\"b\"']\n    schedule: 0 30 4 * * MON\n    timeZone: Europe/Berlin\n    concurrencyPolicy: Replace\n    missedRuns: RunOnce\n    suspend: true\n",
        );
        let [tidy, count] = workload.schedules.as_slice() else {
            panic!("there are two");
        };
        assert_eq!((tidy.function.as_ref(), tidy.suspend), (None, false));
        assert_eq!(tidy.concurrency, ConcurrencyPolicy::Forbid);
        assert_eq!(tidy.missed, MissedRuns::Skip);
        assert_eq!(
            count.function.as_ref().unwrap().to_string(),
            "demo:jobs/count#all"
        );
        assert_eq!(count.args, ["{a: 1}", "\"b\""]);
        assert_eq!(count.time_zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(count.concurrency, ConcurrencyPolicy::Replace);
        assert_eq!((count.missed, count.suspend), (MissedRuns::RunOnce, true));
        let again = parse(&workload.to_manifest().to_string(), Path::new("w.json"));
        assert_eq!(again.unwrap()[0].workload, workload);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_its_place() {
        insta::assert_snapshot!(errors("  - {}\n  - {name: A, component: job, schedule: '@daily', concurrencyPolicy: Forbidd, missedRuns: Never, function: 'a:b/c'}\n"), @r"
        w.yaml:7:5: the schedule has no `name`
        w.yaml:7:5: the schedule has no `component`
        w.yaml:7:5: the schedule has no `schedule`
        w.yaml:8:12: `A` is no schedule name; wanted 1 to 63 lower-case letters, digits and `-`, with no `-` at either end
        w.yaml:8:26: `job` is no component of this workload
        hint: did you mean `jobs`? known here: `jobs`
        w.yaml:8:70: `Forbidd` is no policy for runs that overlap
        hint: did you mean `Forbid`? known here: `Forbid`, `Allow`, `Replace`
        w.yaml:8:91: `Never` is no policy for runs that were missed
        hint: known here: `Skip`, `RunOnce`
        w.yaml:8:108: `a:b/c` is no name of a function: it names an interface but no function; wanted `function`, or `namespace:package/interface#function`
        ");
        insta::assert_snapshot!(errors("  - {name: a, component: jobs, schedule: '@daily'}\n  - {name: a, component: jobs, schedule: '@daily', args: ['1']}\n"), @r"
        w.yaml:8:12: a schedule called `a` is already there at 7:12
        w.yaml:8:58: `args` are for a `function`, and there is none: a command is run without
        hint: name the `function`, or remove `args`
        ");
        let unknown = errors("  - {name: a, component: jobs, scedule: '@daily'}\n");
        assert!(
            unknown.contains("unknown field `scedule`\nhint: did you mean `schedule`?"),
            "{unknown}"
        );
    }
}
