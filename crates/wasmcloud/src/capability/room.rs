//! How many files the process may have open, and what part of them each capability takes for its connections and files.

use std::ops::RangeInclusive;

use rustix::process::{Resource, getrlimit};

/// One of so many parts of the files that the process may have open, within reason.
pub(crate) fn part_of_open_files(parts: u64, within: RangeInclusive<usize>) -> usize {
    part(getrlimit(Resource::Nofile).current, parts, within)
}

/// `None`: as many as one likes.
fn part(open_files: Option<u64>, parts: u64, within: RangeInclusive<usize>) -> usize {
    let part = open_files.map_or(u64::MAX, |files| files / parts);
    usize::try_from(part)
        .unwrap_or(usize::MAX)
        .clamp(*within.start(), *within.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_open_files_is_within_reason() {
        assert_eq!(part(Some(1024), 2, 64..=32_768), 512);
        assert_eq!(part(Some(1024), 4, 64..=32_768), 256);
        assert_eq!(part(Some(16), 2, 64..=32_768), 64);
        assert_eq!(part(Some(1 << 40), 2, 64..=32_768), 32_768);
        assert_eq!(part(None, 2, 64..=32_768), 32_768);
        assert!((64..=128).contains(&part_of_open_files(2, 64..=128)));
    }
}
