//! What a registry tells about a blob, and what a host tells about itself at a well-known address.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use url::Url;

use super::body;
use super::door::{AGENT, Actions, Ask, REDIRECTS, is_redirect};
use super::error::{RegistryError, RegistryErrorKind, Unreachable, may_pass};
use super::place;
use super::registries::{Access, Registries};
use super::retry::{self, persist};
use crate::net::web::Patient;
use crate::workload::{Digest, Reference};

impl Registries {
    /// The size of a blob in bytes, as the registry has it.
    pub(in crate::registry) async fn blob_size(
        &self,
        reference: &Reference,
        digest: Digest,
        access: &Access,
    ) -> Result<u64, RegistryError> {
        let door = self.home(reference, access, Actions::Pull)?;
        let url = door.url(&format!("blobs/{digest}"));
        let asked = persist(self.settings().retries, || {
            let ask = Ask::new(Method::HEAD, url.clone());
            async { door.ask(ask, &format!("blob {digest}")).await }
        });
        let answer = self.within(reference, asked).await?;
        let size = answer.response.headers().get(CONTENT_LENGTH);
        let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
        size.ok_or_else(|| {
            let text = format!("it does not say how many bytes the blob {digest} has");
            door.error(RegistryErrorKind::Protocol(text))
        })
    }

    /// What a host has at an address of its own, without its API. Nobody shows it any credentials.
    pub(in crate::registry) async fn well_known(
        &self,
        host: &str,
        path: &str,
        limit: u64,
        access: &Access,
    ) -> Result<Option<Bytes>, RegistryError> {
        let error = |kind| RegistryError {
            place: host.to_owned(),
            kind,
        };
        let longest = self.settings().longest;
        let asked = persist(self.settings().retries, || async {
            let found = self.look_at(host, path, limit, access).await;
            found.map_err(error)
        });
        let found = tokio::time::timeout(longest, asked).await;
        found.unwrap_or_else(|_| Err(error(RegistryErrorKind::Late(longest))))
    }

    async fn look_at(
        &self,
        host: &str,
        path: &str,
        limit: u64,
        access: &Access,
    ) -> Result<Option<Bytes>, RegistryErrorKind> {
        let (gate, by) = self.gate(host, access.by).map_err(|error| error.kind)?;
        let web = gate.webs.of(by);
        let mut url = gate.place.url("", "");
        url.set_path(path);
        for _ in 0..=REDIRECTS {
            let response = web.send(plain(&url)?, self.settings().silence).await;
            let response = response.map_err(|problem| RegistryErrorKind::Unreachable {
                who: who(&url),
                problem: Unreachable(problem),
            })?;
            let location = response.headers().get(LOCATION);
            match location.filter(|_| is_redirect(response.status())) {
                Some(location) => url = place::follow(&url, location.to_str().unwrap_or_default())?,
                None => return read(response, &url, limit).await,
            }
        }
        let text = format!("more than {REDIRECTS} times");
        Err(RegistryErrorKind::Redirect(text))
    }
}

fn who(url: &Url) -> String {
    format!("`{}`", url.host_str().unwrap_or_default())
}

fn plain(url: &Url) -> Result<Request<body::Outgoing>, RegistryErrorKind> {
    let mut request = Request::new(body::whole(Bytes::new()));
    *request.uri_mut() = place::uri(url)?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// What is there. Whoever wants a login, or knows no such address, has nothing for everybody.
async fn read(
    response: Response<Patient>,
    url: &Url,
    limit: u64,
) -> Result<Option<Bytes>, RegistryErrorKind> {
    let status = response.status();
    if status == StatusCode::OK {
        let what = || format!("`{}`", url.path());
        return body::read(response.into_body(), limit, what)
            .await
            .map(Some);
    }
    if status.is_client_error() && !may_pass(status) {
        return Ok(None);
    }
    Err(RegistryErrorKind::Status {
        who: who(url),
        status,
        after: retry::after(response.headers()),
        message: String::new(),
    })
}
