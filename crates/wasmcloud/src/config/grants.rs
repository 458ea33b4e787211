//! What is granted to some workloads only: lists by their names.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::reader::Reader;
use crate::capability::workloads::Workloads;
use crate::workload::quoted;

/// Lists by workloads.
pub(super) type Lists = Option<BTreeMap<String, Spanned<Vec<Spanned<String>>>>>;

/// Each item of each list, with the workloads that it is for.
pub(super) fn lists<T>(
    reader: &mut Reader,
    lists: Lists,
    mut item: impl FnMut(&mut Reader, Spanned<String>) -> Option<T>,
) -> Vec<(Workloads, T)> {
    let mut all = Vec::new();
    for (workloads, list) in lists.unwrap_or_default() {
        let workloads = match workloads.parse::<Workloads>() {
            Ok(workloads) => Some(workloads),
            Err(wanted) => {
                let message = format!("found workloads {}, {wanted}", quoted(&workloads));
                reader.error(list.referenced, message, None);
                None
            }
        };
        for text in list.value {
            let item = item(reader, text);
            all.extend(workloads.clone().zip(item));
        }
    }
    all
}
