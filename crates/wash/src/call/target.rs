//! What is to be called: the words that were typed may name a workload first, or not.

use std::path::Path;

use super::local;
use crate::cli::CallArgs;
use crate::failure::Failure;

/// What is to be called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A function of the component or project here.
    Here { export: String, values: Vec<String> },
    /// A function of a workload that runs.
    There {
        workload: String,
        export: String,
        values: Vec<String>,
        /// Whether that is only because nothing here is called so.
        guessed: bool,
    },
    /// A schedule of a workload that runs.
    Schedule { workload: String, schedule: String },
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Files were named.
    Here,
    /// A host or workload was named.
    There,
    /// The words decide.
    Open,
}

pub(super) async fn decide(args: &CallArgs) -> Result<Target, Failure> {
    if let Some(schedule) = &args.schedule {
        return scheduled(args, schedule);
    }
    let place = if args.file.is_some() || args.manifest.is_some() {
        Place::Here
    } else if args.host.is_some() || args.workload.is_some() {
        Place::There
    } else {
        Place::Open
    };
    let first = args.words.first();
    let named = args.workload.is_some();
    // Only a bare word may be either; who is called so here decides.
    let here = match first {
        Some(first) if place == Place::Open && is_bare(first) && args.words.len() > 1 => {
            local::exports(args, Path::new(".")).await.contains(first)
        }
        _ => true,
    };
    sort(
        place,
        args.workload.clone().filter(|_| named),
        &args.words,
        here,
    )
}

fn scheduled(args: &CallArgs, schedule: &str) -> Result<Target, Failure> {
    let workload = match (&args.workload, args.words.as_slice()) {
        (Some(workload), []) | (None, [workload]) => workload.clone(),
        (None, []) => {
            return Err(Failure::usage("`--schedule` needs a workload")
                .hint("write `wash call WORKLOAD --schedule NAME`"));
        }
        _ => {
            return Err(
                Failure::usage("a schedule has its own function and arguments")
                    .hint("leave them out: `wash call WORKLOAD --schedule NAME`"),
            );
        }
    };
    Ok(Target::Schedule {
        workload,
        schedule: schedule.to_owned(),
    })
}

/// A word that may be the name of a workload or of a function.
fn is_bare(word: &str) -> bool {
    !word.contains(['#', ':', '/'])
}

/// `here` is whether a bare first word is a function of the component or project here.
fn sort(
    place: Place,
    workload: Option<String>,
    words: &[String],
    here: bool,
) -> Result<Target, Failure> {
    let nothing = || {
        Failure::usage("nothing is named to be called").hint(
            "write `wash call EXPORT [ARGUMENT]…`, such as `wash call add 1 2`, or `wash call WORKLOAD EXPORT [ARGUMENT]…`",
        )
    };
    let (first, rest) = words.split_first().ok_or_else(nothing)?;
    if place == Place::Here {
        return Ok(Target::Here {
            export: first.clone(),
            values: rest.to_vec(),
        });
    }
    if let Some(workload) = workload {
        return Ok(Target::There {
            workload,
            export: first.clone(),
            values: rest.to_vec(),
            guessed: false,
        });
    }
    let is_workload = match place {
        Place::There => true,
        // `namespace/name` has a slash and no colon, and an interface has both.
        _ if !is_bare(first) => first.contains('/') && !first.contains([':', '#']),
        _ => !here,
    };
    if !is_workload {
        return Ok(Target::Here {
            export: first.clone(),
            values: rest.to_vec(),
        });
    }
    let (export, values) = rest.split_first().ok_or_else(|| {
        Failure::usage(format!(
            "nothing of the workload `{first}` is named to be called"
        ))
        .hint("write `wash call WORKLOAD EXPORT [ARGUMENT]…`")
    })?;
    Ok(Target::There {
        workload: first.clone(),
        export: export.clone(),
        values: values.to_vec(),
        guessed: place == Place::Open && is_bare(first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn sorted(text: &str, here: bool) -> Target {
        sort(Place::Open, None, &words(text), here).unwrap()
    }

    fn local(export: &str, values: &str) -> Target {
        Target::Here {
            export: export.to_owned(),
            values: words(values),
        }
    }

    fn remote(workload: &str, export: &str, values: &str) -> Target {
        Target::There {
            workload: workload.to_owned(),
            export: export.to_owned(),
            values: words(values),
            guessed: false,
        }
    }

    #[test]
    fn a_first_word_with_an_interface_is_a_function_and_one_with_a_slash_a_workload() {
        assert_eq!(sorted("a:b/c#d 1", false), local("a:b/c#d", "1"));
        assert_eq!(sorted("a:b/c@1.0.0#d", false), local("a:b/c@1.0.0#d", ""));
        assert_eq!(
            sorted("team/shop add 1", true),
            remote("team/shop", "add", "1")
        );
        // An interface without a function is no workload either: the error says what is missing.
        assert_eq!(sorted("a:b/c d", false), local("a:b/c", "d"));
    }

    #[test]
    fn a_bare_first_word_is_a_function_if_there_is_one_here() {
        assert_eq!(sorted("add 1 2", true), local("add", "1 2"));
        let guess = Target::There {
            workload: "shop".to_owned(),
            export: "add".to_owned(),
            values: words("1"),
            guessed: true,
        };
        assert_eq!(sorted("shop add 1", false), guess);
    }

    #[test]
    fn what_is_named_decides() {
        let sort = |place, workload: Option<&str>, text: &str| {
            sort(place, workload.map(str::to_owned), &words(text), false).unwrap()
        };
        assert_eq!(sort(Place::Here, None, "add 1"), local("add", "1"));
        assert_eq!(
            sort(Place::There, Some("shop"), "add 1"),
            remote("shop", "add", "1")
        );
        assert_eq!(
            sort(Place::There, None, "shop add"),
            remote("shop", "add", "")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |place, text: &str| {
            sort(place, None, &words(text), false)
                .unwrap_err()
                .message()
        };
        assert!(error(Place::Open, "").contains("nothing is named"));
        assert!(error(Place::There, "shop").contains("nothing of the workload `shop`"));
    }
}
