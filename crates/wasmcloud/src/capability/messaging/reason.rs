//! Why messages were not handled, in the words of guests and others: no longer than it may be, wherever it is told.

/// How much of a reason is passed on to whoever waits for an answer, and kept with a message.
pub(super) const PASSED_ON: usize = 1 << 10;
/// How much of it the log gets: a backtrace has its cause at its end.
pub(super) const LOGGED: usize = 8 << 10;

/// The beginning of a text, which shows where it is not all.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_an_end() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "longe…");
        assert_eq!(cut("längst", 2), "l…");
        let long = "x".repeat(1 << 20);
        assert_eq!(cut(&long, PASSED_ON).len(), PASSED_ON + "…".len());
    }
}
