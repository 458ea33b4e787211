//! Reminds of things, whenever it is called. When that is, the manifest says.

use std::time::{SystemTime, UNIX_EPOCH};

wit_bindgen::generate!({ path: "wit", world: "cron" });

use exports::demo::cron::reminders::Guest;

struct Reminders;

impl Guest for Reminders {
    /// An instance lives for one call: nothing is left of the last one.
    fn remind(what: String) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let words = words(now.map_or(0, |now| now.as_secs()), &what)?;
        println!("{words}");
        Ok(words)
    }
}

export!(Reminders);

/// The time of day of a moment, in seconds since 1970, and what it is time for.
fn words(seconds: u64, what: &str) -> Result<String, String> {
    if what.trim().is_empty() {
        return Err("there is nothing to remind of".to_owned());
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Ok(format!("{hour:02}:{minute:02}:{second:02} UTC: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_has_the_time_of_day() {
        assert_eq!(words(86_399, "sleep").unwrap(), "23:59:59 UTC: sleep");
        assert_eq!(words(0, "sleep").unwrap(), "00:00:00 UTC: sleep");
        assert!(words(0, " ").is_err());
    }
}
