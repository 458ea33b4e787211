//! Tests wait for the thing they need, never for a length of time: that is too short on a busy
//! machine and too long on every other.

use super::source::Source;
use super::{Finding, Rule};

/// Calls of anything named `sleep` in test code.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let calls = ["sleep", "sleep_ms", "sleep_until"].contains(&token.text.as_str());
        if calls && source.starts_with(index + 1, &["("]) && source.is_test(token) {
            findings.push(Finding {
                rule: Rule::Sleeps,
                path: source.path.clone(),
                line: token.line,
                key: source.path.display().to_string(),
                message: format!("`{}(` in a test: wait for the thing itself", token.text),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::source::sample;
    use super::*;

    #[test]
    fn a_sleep_in_a_test_is_found() {
        let unit = "#[cfg(test)]\nmod tests {\n    fn t() { std::thread::sleep(D); }\n}\n";
        assert_eq!(check(&sample("src/a.rs", unit))[0].line, 3);
        let attribute = "#[tokio::test]\nasync fn t() { tokio::time::sleep(D).await }\n";
        assert_eq!(check(&sample("src/a.rs", attribute)).len(), 1);
        assert_eq!(
            check(&sample("crates/a/tests/b.rs", "fn wait() { sleep(D) }")).len(),
            1
        );
    }

    #[test]
    fn shipped_code_and_words_are_not() {
        assert!(
            check(&sample(
                "src/a.rs",
                "async fn back_off() { sleep(D).await }"
            ))
            .is_empty()
        );
        assert!(
            check(&sample(
                "tests/a.rs",
                "// sleep(1)\nconst A: &str = \"sleep(1)\";"
            ))
            .is_empty()
        );
        assert!(check(&sample("tests/guests/a/src/lib.rs", "fn f() { sleep(D) }")).is_empty());
    }
}
