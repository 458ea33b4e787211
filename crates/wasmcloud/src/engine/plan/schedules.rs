//! Finds the functions that schedules call.

use super::entries::Root;
use super::{Offers, Problem, Worlds};
use crate::workload::{Export, Function, FunctionName, Interface, NotChosen, Schedule, Workload};

/// What is run where a schedule names no function, the newest first.
const COMMANDS: [&str; 2] = ["wasi:cli/run@0.3.0", "wasi:cli/run@0.2.12"];

/// The component and function of every schedule.
pub(super) fn roots(
    workload: &Workload,
    worlds: &Worlds,
    offers: &Offers,
    problems: &mut Vec<Problem>,
) -> Vec<Root> {
    let mut roots = Vec::new();
    for (index, schedule) in workload.schedules.iter().enumerate() {
        let Some(plugin) = offers.scheduler else {
            problems.push(Problem::Schedule {
                path: format!("spec.schedules.{index}"),
                message: format!("this host runs no schedules, such as `{}`", schedule.name),
                hint: Some("use a host with the feature `schedule`, or remove it".to_owned()),
            });
            continue;
        };
        let Some(world) = worlds.get(&schedule.component) else {
            continue;
        };
        match function(schedule, &world.functions) {
            Ok(function) => {
                problems.extend(wrong_arguments(index, schedule, function));
                roots.push(Root {
                    plugin,
                    component: schedule.component.clone(),
                    export: Export::Function(function.name.clone()),
                    schedule: Some(schedule.name.clone()),
                });
            }
            Err((message, hint)) => problems.push(Problem::Schedule {
                path: format!("spec.schedules.{index}.function"),
                message,
                hint: Some(hint),
            }),
        }
    }
    roots
}

fn function<'a>(
    schedule: &Schedule,
    functions: &'a [Function],
) -> Result<&'a Function, (String, String)> {
    let component = &schedule.component;
    let Some(wanted) = &schedule.function else {
        return command(functions).ok_or_else(|| {
            (
                format!(
                    "schedule `{}` runs component `{component}` as a command, but that does not export `wasi:cli/run`",
                    schedule.name
                ),
                "name the `function` that it should call".to_owned(),
            )
        });
    };
    let all: Vec<((), &Function)> = functions.iter().map(|it| ((), it)).collect();
    match wanted.choose(&all) {
        Ok(((), function)) => Ok(function),
        Err(NotChosen::None(not_there)) => Err((
            format!(
                "schedule `{}` calls `{wanted}`, which component `{component}` does not export",
                schedule.name
            ),
            not_there.hint(),
        )),
        Err(NotChosen::Several(several)) => {
            let names: Vec<String> = several.iter().map(|(_, it)| format!("`{it}`")).collect();
            Err((
                format!(
                    "schedule `{}` calls `{wanted}`, which is several functions of component `{component}`",
                    schedule.name
                ),
                format!("name one of {}", names.join(", ")),
            ))
        }
    }
}

/// The function that makes a component a command.
fn command(functions: &[Function]) -> Option<&Function> {
    let wanted = COMMANDS
        .iter()
        .filter_map(|it| it.parse::<Interface>().ok());
    wanted
        .map(|interface| FunctionName {
            interface: Some(interface),
            function: "run".to_owned(),
        })
        .find_map(|name| {
            let all: Vec<((), &Function)> = functions.iter().map(|it| ((), it)).collect();
            name.choose(&all).ok().map(|((), function)| function)
        })
}

fn wrong_arguments(index: usize, schedule: &Schedule, function: &Function) -> Vec<Problem> {
    let errors = function.check(&schedule.args).err().unwrap_or_default();
    let problem = |error: crate::workload::ArgumentError| Problem::Schedule {
        path: match error.index {
            Some(number) => format!("spec.schedules.{index}.args.{number}"),
            None if schedule.args.is_empty() => format!("spec.schedules.{index}.function"),
            None => format!("spec.schedules.{index}.args"),
        },
        message: format!("schedule `{}`: {}", schedule.name, error.message),
        hint: error.hint,
    };
    errors.into_iter().map(problem).collect()
}
