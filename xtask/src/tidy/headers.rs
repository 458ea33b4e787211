//! Every Rust file opens with `//!` and says what it is for; test guests and examples too.

use super::source::Source;
use super::{Finding, Rule};

/// A file that starts with something else.
pub(super) fn check(source: &Source) -> Option<Finding> {
    let text = source.first_line.strip_prefix("//!").map(str::trim);
    let message = match text {
        Some("") => "the `//!` at the top says nothing: say what the file is for",
        Some(_) => return None,
        None => "does not open with `//!`: say what the file is for, in one to three sentences",
    };
    Some(Finding {
        rule: Rule::Headers,
        path: source.path.clone(),
        line: 1,
        key: source.path.display().to_string(),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::sample;
    use super::*;

    #[test]
    fn a_file_must_say_what_it_is_for() {
        let finds = |text| check(&sample("src/a.rs", text)).is_some();
        assert!(!finds("//! Names.\nfn a() {}\n"));
        for bad in [
            "fn a() {}\n",
            "// Names.\n",
            "\n//! Names.\n",
            "//!\n//! Names.\n",
            "",
        ] {
            assert!(finds(bad), "{bad:?}");
        }
    }
}
