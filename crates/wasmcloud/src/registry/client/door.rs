//! A repository of one registry or mirror, and how it is asked: with credentials where they are wanted, and along redirects without.

mod turn;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use url::Url;

pub(super) use turn::Turn;

use super::blob::Progress;
use super::body::{self, Outgoing};
use super::error::{Refusal, RegistryError, RegistryErrorKind, Unreachable};
use super::place;
use super::registries::{Access, Gate, Inner};
use super::retry;
use super::token::{self, Challenge, Pass, Purpose};
use crate::net::dial::NamedBy;
use crate::net::web::Patient;
use crate::registry::access::{Credentials, Found};
use crate::workload::Reference;

/// Who asks.
pub(super) const AGENT: &str = concat!("wasmcloud/", env!("CARGO_PKG_VERSION"));
/// How many redirects are followed.
pub(super) const REDIRECTS: usize = 5;
/// How often it is asked until it lets us in: without anything, with a token from before, and with a new one.
const KNOCKS: usize = 3;

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Actions {
    Pull,
    Push,
}

/// A repository of one registry or mirror.
pub(in crate::registry) struct Door {
    pub(super) inner: Arc<Inner>,
    gate: Gate,
    /// None where nobody is asked after it.
    turn: Option<Turn>,
    by: NamedBy,
    pub(super) repository: String,
    access: Access,
    actions: Actions,
    /// What let us in the last time.
    pass: Mutex<Option<Pass>>,
    /// Of the many that are not let in at once, one looks for a pass.
    looking: tokio::sync::Mutex<()>,
    /// With which credentials; none as long as nobody wanted any.
    used: Mutex<Option<Found>>,
}

/// What is asked.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// What is sent along.
pub(super) enum Content {
    Bytes(Bytes),
    /// Once, and then no more.
    Stream(Option<Outgoing>),
}

impl Content {
    fn take(&mut self) -> Option<Outgoing> {
        match self {
            Self::Bytes(bytes) => Some(body::whole(bytes.clone())),
            Self::Stream(stream) => stream.take(),
        }
    }
}

/// An answer, and from where.
pub(super) struct Answer {
    pub(super) response: Response<Patient>,
    pub(super) url: Url,
    is_home: bool,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        let content = Content::Bytes(Bytes::new());
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(AGENT))]);
        Self {
            method,
            url,
            headers,
            content,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// What only reads may be led elsewhere.
    fn follows(&self) -> bool {
        [Method::GET, Method::HEAD].contains(&self.method)
    }
}

impl Door {
    pub(super) fn new(
        inner: Arc<Inner>,
        gate: Gate,
        by: NamedBy,
        reference: &Reference,
        access: &Access,
        actions: Actions,
    ) -> Self {
        Self {
            repository: gate.place.repository(reference.repository()),
            inner,
            gate,
            turn: None,
            by,
            access: access.clone(),
            actions,
            pass: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// Which credentials were wanted and used. None if none were wanted.
    pub(in crate::registry) fn used(&self) -> Option<Found> {
        let used = self.used.lock();
        used.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is of this registry.
    pub(in crate::registry) fn is_of(&self, registry: &str) -> bool {
        self.gate.place.host == registry
    }

    pub(super) fn url(&self, rest: &str) -> Url {
        self.gate.place.url(&self.repository, rest)
    }

    pub(in crate::registry) fn error(&self, kind: RegistryErrorKind) -> RegistryError {
        RegistryError {
            place: format!("{}/{}", self.gate.place.host, self.repository),
            kind,
        }
    }

    /// Asks until there is an answer that does, which `persist` is for.
    pub(super) async fn ask(&self, ask: Ask, what: &str) -> Result<Answer, RegistryError> {
        let asked = self.knock(ask).await;
        let checked = match asked {
            Ok(answer) => self.checked(answer, what).await,
            Err(kind) => Err(kind),
        };
        checked.map_err(|kind| self.error(kind))
    }

    /// Asks, and looks for what lets us in if that is wanted.
    async fn knock(&self, mut ask: Ask) -> Result<Answer, RegistryErrorKind> {
        let mut pass = self.pass();
        let mut knocks = 0;
        loop {
            knocks += 1;
            let answer = self.roam(&mut ask, pass.as_ref()).await?;
            let is_denied = answer.response.status() == StatusCode::UNAUTHORIZED;
            // A body that is sent once cannot be sent again.
            let is_last = knocks == KNOCKS || matches!(ask.content, Content::Stream(_));
            if !is_denied || !answer.is_home || is_last {
                return Ok(answer);
            }
            match self.look(answer.response.headers(), pass.as_ref()).await? {
                Some(found) => pass = Some(found),
                None => return Ok(answer),
            }
        }
    }

    fn pass(&self) -> Option<Pass> {
        let pass = self.pass.lock();
        pass.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something else to be let in with than what was rejected, if there is anything.
    async fn look(
        &self,
        headers: &HeaderMap,
        rejected: Option<&Pass>,
    ) -> Result<Option<Pass>, RegistryErrorKind> {
        let _looking = self.looking.lock().await;
        let current = self.pass();
        if current.as_ref() != rejected && current.is_some() {
            return Ok(current);
        }
        let found = self.credentials().await?;
        let used = self.used.lock();
        *used.unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        let challenge = Challenge::read(headers, self.gate.place.is_plain())?;
        let pass = self.answer(challenge, &found, rejected).await?;
        let pass = pass.filter(|pass| Some(pass) != rejected);
        let kept = self.pass.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
            .clone_from(&pass);
        Ok(pass)
    }

    /// What answers a challenge, if there is anything.
    async fn answer(
        &self,
        challenge: Challenge,
        found: &Found,
        rejected: Option<&Pass>,
    ) -> Result<Option<Pass>, RegistryErrorKind> {
        Ok(match (challenge, &found.credentials) {
            (_, Credentials::Bearer(token)) => Pass::bearer(token.expose()),
            (Challenge::Basic, Credentials::Basic { username, password }) => {
                Pass::basic(username, password)
            }
            (Challenge::Basic, Credentials::Anonymous) => None,
            (Challenge::Basic, Credentials::Identity(_)) => {
                let text = "it wants a name and a password, and there is the token of a login";
                return Err(RegistryErrorKind::Protocol(text.to_owned()));
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credentials,
            ) => {
                let scopes = self.scopes(scope.as_deref());
                let host = &self.gate.place.host;
                let purpose = Purpose::new(host, realm, service, scopes, credentials);
                Some(self.token(purpose, found, rejected).await?)
            }
        })
    }

    async fn token(
        &self,
        purpose: Purpose,
        found: &Found,
        rejected: Option<&Pass>,
    ) -> Result<Pass, RegistryErrorKind> {
        if let Some(pass) = self.inner.tokens.get(&purpose, rejected) {
            return Ok(pass);
        }
        let web = self.gate.webs.of(self.by);
        let fetched = token::fetch(web, &purpose, found, self.inner.settings.silence).await;
        let (pass, lasts) = fetched?;
        self.inner.tokens.keep(purpose, &pass, lasts);
        Ok(pass)
    }

    /// What it would be asked with, if it wanted credentials.
    pub(in crate::registry) async fn credentials(&self) -> Result<Found, RegistryErrorKind> {
        let Gate {
            place, credentials, ..
        } = &self.gate;
        let keychain = &self.access.keychain;
        let found = keychain.find(&place.host, &self.repository, credentials.as_ref());
        found.await.map_err(RegistryErrorKind::Access)
    }

    /// What a token is for: what the registry says, which may call the repository by another name, and this repository in any case.
    fn scopes(&self, wanted: Option<&str>) -> Vec<String> {
        let own = format!("repository:{}:", self.repository);
        let wanted = wanted.unwrap_or_default().split_ascii_whitespace();
        let mut scopes: Vec<String> = wanted
            .filter(|scope| scope.starts_with("repository:"))
            .map(str::to_owned)
            .collect();
        if !scopes.iter().any(|scope| scope.starts_with(&own)) {
            let actions = match self.actions {
                Actions::Pull => "pull",
                Actions::Push => "pull,push",
            };
            scopes.push(own + actions);
        }
        scopes.sort();
        scopes
    }

    /// Asks, and follows where it is led. What lets us in is shown to nobody but the registry.
    async fn roam(&self, ask: &mut Ask, pass: Option<&Pass>) -> Result<Answer, RegistryErrorKind> {
        let mut url = ask.url.clone();
        let mut is_home = place::is_same(&url, &self.url(""));
        for _ in 0..=REDIRECTS {
            let who = self.who(is_home, &url);
            let mut request = Request::new(ask.content.take().ok_or_else(sent_already)?);
            *request.method_mut() = ask.method.clone();
            *request.uri_mut() = place::uri(&url)?;
            request.headers_mut().clone_from(&ask.headers);
            if let (true, Some(pass)) = (is_home, pass) {
                request
                    .headers_mut()
                    .insert(AUTHORIZATION, pass.header.clone());
            }
            let web = self.gate.webs.of(self.by);
            let response = web.send(request, self.inner.settings.silence).await;
            let response = response.map_err(|problem| RegistryErrorKind::Unreachable {
                who,
                problem: Unreachable(problem),
            })?;
            let location = response.headers().get(LOCATION);
            let location = location.filter(|_| is_redirect(response.status()) && ask.follows());
            let Some(location) = location else {
                return Ok(Answer {
                    response,
                    url,
                    is_home,
                });
            };
            let location = location.to_str().unwrap_or_default();
            let to = place::follow(&url, location)?;
            // Once away, nothing leads back in: whoever is in between is a stranger.
            is_home = is_home && place::is_same(&url, &to);
            url = to;
        }
        let text = format!("more than {REDIRECTS} times");
        Err(RegistryErrorKind::Redirect(text))
    }

    fn who(&self, is_home: bool, url: &Url) -> String {
        match is_home {
            true => "the registry".to_owned(),
            false => format!(
                "`{}` (where the registry leads)",
                url.host_str().unwrap_or_default()
            ),
        }
    }

    async fn checked(&self, answer: Answer, what: &str) -> Result<Answer, RegistryErrorKind> {
        let status = answer.response.status();
        if status.is_success() {
            return Ok(answer);
        }
        let who = self.who(answer.is_home, &answer.url);
        let after = retry::after(answer.response.headers());
        let message = body::words(answer.response.into_body()).await;
        Err(match status {
            StatusCode::NOT_FOUND if answer.is_home => RegistryErrorKind::NotFound(what.to_owned()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if answer.is_home => {
                RegistryErrorKind::Denied(self.refusal(status, message))
            }
            _ if is_redirect(status) => {
                RegistryErrorKind::Redirect("what is sent to it".to_owned())
            }
            _ => RegistryErrorKind::Status {
                who,
                status,
                message,
                after,
            },
        })
    }

    fn refusal(&self, status: StatusCode, message: String) -> Box<Refusal> {
        Box::new(Refusal {
            who: "the registry".to_owned(),
            status,
            tried: self.used(),
            message,
        })
    }

    pub(super) fn told(&self) -> Option<Arc<dyn Progress>> {
        self.access.progress.clone()
    }

    pub(super) fn progress(&self, done: u64, total: u64) {
        if let Some(progress) = &self.access.progress {
            progress.moved(done, total);
        }
    }
}

fn sent_already() -> RegistryErrorKind {
    RegistryErrorKind::Protocol("it wants to be sent the same again".to_owned())
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ]
    .contains(&status)
}
