//! What else is known about a repository: its tags, and what refers to a manifest of it.

use http::header::LINK;
use http::{HeaderMap, Method};
use serde::Deserialize;
use url::Url;

use super::body;
use super::door::{Actions, Ask, Door};
use super::doors::pass_over;
use super::error::{RegistryError, RegistryErrorKind};
use super::manifest::optional;
use super::place;
use super::registries::{Access, Registries};
use super::retry::persist;
use crate::registry::layout::{Descriptor, Manifest};
use crate::workload::{Digest, Reference};

/// How many tags a page has, how large it may be in bytes, and how many pages are read.
const PAGE: (&str, u64, usize) = ("1000", 4 << 20, 100);
/// How many tags a repository may have.
const MOST: usize = 100_000;
/// How long a tag may be, as the specification has it.
const LONGEST: usize = 128;

#[derive(Deserialize)]
struct Page {
    // Some registries send `null` for none.
    tags: Option<Vec<String>>,
}

impl Door {
    async fn page(&self, url: &Url) -> Result<(Vec<String>, Option<Url>), RegistryError> {
        persist(self.inner.settings.retries, || async {
            let ask = Ask::new(Method::GET, url.clone());
            let answer = self.ask(ask, "repository of this name").await?;
            let read = async {
                let next = next(answer.response.headers());
                let next = next
                    .map(|next| place::follow(&answer.url, &next))
                    .transpose()?;
                let what = || "the list of its tags".to_owned();
                let bytes = body::read(answer.response.into_body(), PAGE.1, what).await?;
                let page: Page = serde_json::from_slice(&bytes).map_err(|error| {
                    RegistryErrorKind::Protocol(format!("its list of tags is none: {error}"))
                })?;
                Ok((page.tags.unwrap_or_default(), next))
            };
            read.await.map_err(|kind| self.error(kind))
        })
        .await
    }

    async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut url = self.url("tags/list");
        url.query_pairs_mut().append_pair("n", PAGE.0);
        let mut all = Vec::new();
        for _ in 0..PAGE.2 {
            let (tags, next) = self.page(&url).await?;
            bounded(all.len(), &tags).map_err(|kind| self.error(kind))?;
            all.extend(tags);
            match next {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        Err(self.error(RegistryErrorKind::TooLarge {
            what: "the list of its tags".to_owned(),
            limit: PAGE.2 as u64 * PAGE.1,
        }))
    }

    /// What the registry knows, or else what clients have noted under a tag, as the specification has it.
    pub(in crate::registry) async fn referrers(
        &self,
        digest: Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let asked = persist(self.inner.settings.retries, || async {
            let url = self.url(&format!("referrers/{digest}"));
            let answer = self
                .ask(Ask::new(Method::GET, url), "list of referrers")
                .await?;
            let what = || "the list of referrers".to_owned();
            let read = body::read(answer.response.into_body(), PAGE.1, what).await;
            read.map_err(|kind| self.error(kind))
        });
        let bytes = match optional(self.in_time(asked).await)? {
            Some(bytes) => bytes,
            None => {
                let tag = format!("sha256-{}", digest.hex());
                match optional(self.manifest(&tag, None).await)? {
                    Some(manifest) => manifest.bytes,
                    None => return Ok(Vec::new()),
                }
            }
        };
        match Manifest::parse(None, &bytes) {
            Ok(Manifest::Index { manifests, .. }) => Ok(manifests),
            Ok(Manifest::Image { .. }) => {
                let text = "its list of referrers is no image index";
                Err(self.error(RegistryErrorKind::Protocol(text.to_owned())))
            }
            Err(error) => Err(self.error(RegistryErrorKind::Manifest(error))),
        }
    }
}

/// Whether these tags may come to as many as there are already.
fn bounded(before: usize, tags: &[String]) -> Result<(), RegistryErrorKind> {
    let wrong = |text| Err(RegistryErrorKind::Protocol(text));
    if before.saturating_add(tags.len()) > MOST {
        return wrong(format!("it has more than {MOST} tags"));
    }
    match tags.iter().find(|tag| tag.len() > LONGEST) {
        Some(long) => {
            let found = long.len();
            wrong(format!(
                "it has a tag of {found} bytes, of at most {LONGEST}"
            ))
        }
        None => Ok(()),
    }
}

/// Where the next page is: `<…>; rel="next"`.
fn next(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).into_iter();
    let links = links.filter_map(|link| link.to_str().ok());
    let mut links = links.filter_map(|link| link.trim().strip_prefix('<')?.split_once('>'));
    let is_next = |rest: &str| {
        let mut params = rest.split(';').map(str::trim);
        params.any(|param| matches!(param, "rel=next" | "rel=\"next\""))
    };
    links
        .find(|(_, rest)| is_next(rest))
        .map(|(to, _)| to.to_owned())
}

impl Registries {
    /// The tags of a repository, in the order in which the registry has them. Mirrors are not asked: they know those that were pulled.
    ///
    /// # Errors
    /// When the registry does not list them, or has too many.
    pub async fn tags(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Vec<String>, RegistryError> {
        let door = self.home(reference, access, Actions::Pull)?;
        self.within(reference, door.tags()).await
    }

    /// What refers to a manifest, such as signatures.
    ///
    /// # Errors
    /// When the registry does not say whether there is any.
    pub async fn referrers(
        &self,
        reference: &Reference,
        digest: Digest,
        access: &Access,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let doors = self.doors(reference, access)?;
        let asked = async {
            for mirror in &doors.mirrors {
                match mirror.referrers(digest).await {
                    // One that fetches what it has not got may do so for images alone.
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => return Ok(found),
                    Err(error) => pass_over(error)?,
                }
            }
            doors.itself.referrers(digest).await
        };
        self.within(reference, asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let of =
            |links: &[&str]| next(&links.iter().map(|it| (LINK, it.parse().unwrap())).collect());
        let next = Some("/v2/a/tags/list?n=1&last=x".to_owned());
        assert_eq!(of(&["</v2/a/tags/list?n=1&last=x>; rel=\"next\""]), next);
        assert_eq!(
            of(&["</x>; rel=prev", "</v2/a/tags/list?n=1&last=x>;rel=next"]),
            next
        );
        assert_eq!(
            of(&["/x; rel=\"next\"", "</x>", "<", "</x>; rel=\"previous\""]),
            None
        );
    }
}
