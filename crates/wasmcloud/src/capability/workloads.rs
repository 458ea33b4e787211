//! Some workloads, as an operator writes them to grant them something.

use std::str::FromStr;

use crate::workload::Workload;

/// Some workloads: `namespace/name`, `namespace/*`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workloads {
    /// Every workload.
    All,
    /// Those of a namespace.
    Namespace(String),
    /// One.
    One(String, String),
}

impl Workloads {
    pub(crate) fn cover(&self, workload: &Workload) -> bool {
        let (namespace, name) = (workload.namespace.as_str(), workload.name.as_str());
        match self {
            Self::All => true,
            Self::Namespace(of) => of == namespace,
            Self::One(of, one) => of == namespace && one == name,
        }
    }
}

/// A text that stands for no workloads, or for nothing that they may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AllowError(&'static str);

impl AllowError {
    pub(crate) const fn new(wanted: &'static str) -> Self {
        Self(wanted)
    }
}

impl FromStr for Workloads {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        const WANTED: AllowError = AllowError("wanted `namespace/name`, `namespace/*` or `*`");
        if text == "*" {
            return Ok(Self::All);
        }
        let (namespace, name) = text.split_once('/').ok_or(WANTED)?;
        let is_name = |text: &str| {
            let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            !text.is_empty() && text.bytes().all(inside)
        };
        match name {
            _ if !is_name(namespace) => Err(WANTED),
            "*" => Ok(Self::Namespace(namespace.to_owned())),
            name if is_name(name) => Ok(Self::One(namespace.to_owned(), name.to_owned())),
            _ => Err(WANTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_all_those_of_a_namespace_or_one() {
        let of = |text: &str| text.parse::<Workloads>();
        assert_eq!(of("*"), Ok(Workloads::All));
        assert_eq!(of("a/*"), Ok(Workloads::Namespace("a".to_owned())));
        assert_eq!(
            of("a/b"),
            Ok(Workloads::One("a".to_owned(), "b".to_owned()))
        );
        for bad in ["", "a", "*/b", "a/", "a/b/c", "A/b", "a/b*"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
