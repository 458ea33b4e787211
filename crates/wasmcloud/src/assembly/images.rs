//! Where components come from: files, and registries as the configuration has it.

use std::sync::Arc;

use super::{AssembleError, HostConfig};
use crate::artifact::Fetch;
#[cfg(feature = "oci")]
use crate::registry::Sources;

/// Where the components of a host of this configuration come from.
///
/// # Errors
/// When a file that the configuration names cannot be read, or the cache of images cannot be used.
#[cfg(feature = "oci")]
pub fn sources(config: &HostConfig) -> Result<Arc<dyn Fetch>, AssembleError> {
    let (egress, resolver) = (config.egress.clone(), Arc::clone(&config.resolver));
    let images = config.images.open(egress, resolver)?;
    Ok(Arc::new(Sources::new(images, Arc::clone(&config.fetch))))
}

/// The same for looking only: a cache of images that is not there is not made.
#[cfg(feature = "oci")]
pub(super) fn sources_as_they_are(config: &HostConfig) -> Result<Arc<dyn Fetch>, AssembleError> {
    let (egress, resolver) = (config.egress.clone(), Arc::clone(&config.resolver));
    let mut images = config.images.clone();
    images.cache = images.cache.filter(|folder| folder.exists());
    let images = images.open(egress, resolver)?;
    Ok(Arc::new(Sources::new(images, Arc::clone(&config.fetch))))
}

#[cfg(not(feature = "oci"))]
pub(super) use sources as sources_as_they_are;

/// Where the components of a host of this configuration come from.
///
/// # Errors
/// Never: there are files only.
#[cfg(not(feature = "oci"))]
pub fn sources(config: &HostConfig) -> Result<Arc<dyn Fetch>, AssembleError> {
    Ok(Arc::clone(&config.fetch))
}
