//! The mirrors of a repository and the registry itself, one after the other.

use std::future::Future;

use super::door::Door;
use super::error::{RegistryError, RegistryErrorKind};

/// Where a repository can be had.
pub(in crate::registry) struct Doors {
    pub(super) mirrors: Vec<Door>,
    pub(super) itself: Door,
}

impl Doors {
    /// All of them, in the order in which they are asked.
    pub(in crate::registry) fn all(&self) -> impl Iterator<Item = &Door> {
        self.mirrors.iter().chain([&self.itself])
    }
}

/// Asks one after the other until one has it. What is wrong with the last of them is what is wrong.
pub(in crate::registry) async fn first<'a, T, F>(
    doors: &'a Doors,
    mut ask: impl FnMut(&'a Door) -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    for mirror in &doors.mirrors {
        match ask(mirror).await {
            Ok(done) => return Ok(done),
            Err(error) => pass_over(error)?,
        }
    }
    ask(&doors.itself).await
}

/// Whether the next one is asked, after a mirror that was of no use.
pub(super) fn pass_over(error: RegistryError) -> Result<(), RegistryError> {
    if matches!(error.kind, RegistryErrorKind::Keep(_)) {
        return Err(error);
    }
    tracing::warn!(%error, "a mirror does not have it: the next one is asked");
    Ok(())
}
