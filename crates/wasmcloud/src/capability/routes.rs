//! What a plugin has for each label by which components import one of its interfaces, and for the plain import.

use std::collections::BTreeMap;

use crate::workload::HostInterface;

/// Something for the plain import, and something for each label that the manifest has an entry for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes<T> {
    plain: T,
    labelled: BTreeMap<String, T>,
}

impl<T> Routes<T> {
    /// Makes something of each entry; what the plain import has where no entry is for it, is the default.
    pub(crate) fn of(entries: &[HostInterface], make: impl Fn(&HostInterface) -> T) -> Self
    where
        T: Default,
    {
        let mut routes = Self {
            plain: T::default(),
            labelled: BTreeMap::new(),
        };
        for entry in entries {
            match &entry.name {
                None => routes.plain = make(entry),
                Some(label) => drop(routes.labelled.insert(label.clone(), make(entry))),
            }
        }
        routes
    }

    /// The same routes to something else.
    pub(crate) fn map<U>(&self, make: impl Fn(&T) -> U) -> Routes<U> {
        let labelled = self.labelled.iter();
        Routes {
            plain: make(&self.plain),
            labelled: labelled
                .map(|(label, it)| (label.clone(), make(it)))
                .collect(),
        }
    }

    /// All of them, with the label of those that have one.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let labelled = self.labelled.iter();
        let labelled = labelled.map(|(label, it)| (Some(label.as_str()), it));
        std::iter::once((None, &self.plain)).chain(labelled)
    }

    /// What the import by a label leads to. One without an entry of its own leads where the plain one does: whether there has to be
    /// an entry is for the plan to say.
    pub(crate) fn to(&self, label: Option<&str>) -> &T {
        let labelled = label.and_then(|label| self.labelled.get(label));
        labelled.unwrap_or(&self.plain)
    }
}

/// What the status of a workload says of an entry that cannot be used now.
pub(crate) fn troubled(what: &str, label: Option<&str>, why: &str) -> String {
    match label {
        None => format!("{what}: {why}"),
        Some(label) => format!("{what} `{label}`: {why}"),
    }
}
