//! Capabilities: keys and values, blobs, messages and databases, called by a guest through the host, beside the same clients called natively.

mod apart;
mod blobs;
mod keyvalue;
mod loops;
mod messages;
mod postgres;
mod servers;

use crate::call::all_went_well;
use crate::record::Record;

pub(crate) use blobs::peak;

/// Which cases are wanted: those whose names begin so.
#[derive(Clone, Copy)]
struct Only<'a>(&'a str);

impl Only<'_> {
    /// Whether this case is.
    fn is(self, case: &str) -> bool {
        case.starts_with(self.0)
    }

    /// Whether a case may be whose name begins so.
    fn has(self, group: &str) -> bool {
        group.starts_with(self.0) || self.0.starts_with(group)
    }
}

/// All cases of this bench. A part that fails does not take the figures of the others with it.
pub(crate) async fn run(records: &mut Vec<Record>, only: &str) -> anyhow::Result<()> {
    let only = Only(only);
    let parts = [
        ("keyvalue", keyvalue::run(records, only).await),
        ("blobs", blobs::run(records, only).await),
        ("messages", messages::run(records, only).await),
        ("postgres", postgres::run(records, only).await),
    ];
    all_went_well(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_picked_by_how_their_names_begin() {
        let picks = |only| (Only(only).has("redis"), Only(only).is("redis-get"));
        assert_eq!(picks(""), (true, true));
        assert_eq!(picks("redis"), (true, true));
        assert_eq!(picks("redis-get"), (true, true));
        assert_eq!(picks("redis-set"), (true, false));
        assert_eq!(picks("redb"), (false, false));
    }
}
