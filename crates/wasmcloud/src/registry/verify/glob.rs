//! Patterns with stars, for repositories and for identities.

use std::fmt;

/// `*` is any run of characters within a step between slashes, also none; `**` is any run of characters at all. Everything else is
/// itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Glob(String);

/// Longer ones than this are mistakes, and their matching is bounded by it.
pub(super) const LONGEST: usize = 1024;

impl Glob {
    /// `None` when the pattern is empty, too long or not of visible characters.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_visible = |c: char| !c.is_control() && !c.is_whitespace();
        let is_pattern = !text.is_empty() && text.len() <= LONGEST && text.chars().all(is_visible);
        is_pattern.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Walks the pattern with the set of places in the text that it can have come to: no backtracking, so no pattern is slow.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut places = vec![false; text.len() + 1];
        if let Some(first) = places.first_mut() {
            *first = true;
        }
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            rest = if let Some(rest) = rest.strip_prefix("**") {
                spread(&mut places, &text, |_| true);
                rest.trim_start_matches('*')
            } else if let Some(rest) = rest.strip_prefix('*') {
                spread(&mut places, &text, |c| c != '/');
                rest
            } else {
                let mut chars = rest.chars();
                step(&mut places, &text, chars.next());
                chars.as_str()
            };
        }
        places.last().copied().unwrap_or(false)
    }
}

/// From each place on, over the characters that may be passed.
fn spread(places: &mut [bool], text: &[char], may_pass: impl Fn(char) -> bool) {
    let mut is_reached = false;
    for (place, before) in places
        .iter_mut()
        .zip(std::iter::once(None).chain(text.iter().map(Some)))
    {
        is_reached = *place || (is_reached && before.is_some_and(|c| may_pass(*c)));
        *place = is_reached;
    }
}

/// Over one character that must be the given one.
fn step(places: &mut [bool], text: &[char], wanted: Option<char>) {
    let mut was_reached = false;
    for (place, before) in places
        .iter_mut()
        .zip(std::iter::once(None).chain(text.iter().map(Some)))
    {
        let is_reached = was_reached && before.copied() == wanted;
        was_reached = std::mem::replace(place, is_reached);
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_within_a_step_and_two_do_not() {
        let is = |pattern: &str, text: &str| Glob::parse(pattern).unwrap().matches(text);
        assert!(is("a/*", "a/b"));
        assert!(is("a/*", "a/"));
        assert!(!is("a/*", "a/b/c"));
        assert!(is("a/**", "a/b/c"));
        assert!(!is("a/**", "a"));
        assert!(is("a/*/c", "a/b/c"));
        assert!(!is("a/*/c", "a/b/b/c"));
        assert!(is("**/c", "a/b/c"));
        assert!(is("a*b*c", "a-b-b-c"));
        assert!(!is("a*b*c", "a-b-c-d"));
        assert!(is("*@acme.example", "jo@acme.example"));
        assert!(!is("*@acme.example", "jo@acme.example.evil"));
        assert!(is("é*", "één"));
        assert!(is("***", "a/b"));
        assert!(is("a", "a") && !is("a", "") && !is("a", "aa"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Glob::parse(&"*a".repeat(LONGEST / 2)).unwrap();
        assert!(!pattern.matches(&"a".repeat(400)));
        assert!(Glob::parse(&"a".repeat(LONGEST + 1)).is_none());
        assert!(
            Glob::parse("").is_none()
                && Glob::parse("a b").is_none()
                && Glob::parse("a\n").is_none()
        );
    }
}
