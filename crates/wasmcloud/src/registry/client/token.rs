//! Tokens: what a registry wants before it answers, and who gives it
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::body::{self, Outgoing};
use super::door::AGENT;
use super::error::{Refusal, RegistryErrorKind, Unreachable};
use super::{place, retry};
use crate::net::web::{Patient, Web};
use crate::registry::access::{Credentials, Found, SecretText};
use crate::workload::Digest;

/// The largest answer with a token, in bytes.
const LARGEST: u64 = 64 << 10;
/// How long a token lasts if nothing is said about it, and the longest that is believed.
const LASTS: (u64, u64) = (60, 24 * 60 * 60);
/// How long before its end a token is not begun with any more.
const MARGIN: Duration = Duration::from_secs(5);
/// How many tokens are kept for one registry, and for all together.
const MOST: (usize, usize) = (16, 1024);

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best of those that a registry takes.
    pub(super) fn read(headers: &HeaderMap, is_plain: bool) -> Result<Self, RegistryErrorKind> {
        let wrong = |text: String| RegistryErrorKind::Protocol(text);
        let mut basic = None;
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let challenges = header
                .to_str()
                .ok()
                .and_then(|text| http_auth::parse_challenges(text).ok());
            for challenge in challenges.into_iter().flatten() {
                let of = |name: &str| {
                    let mut params = challenge.params.iter();
                    let found = params.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let realm = of("realm").unwrap_or_default();
                    return Ok(Self::Bearer {
                        realm: checked(&realm, is_plain).map_err(wrong)?,
                        service: of("service"),
                        scope: of("scope"),
                    });
                }
            }
        }
        basic.ok_or_else(|| wrong("it wants credentials, and does not say which (`WWW-Authenticate` has neither `Bearer` nor `Basic`)".to_owned()))
    }
}

/// A server of tokens sees the password: it is spoken to no worse than the registry.
fn checked(realm: &str, is_plain: bool) -> Result<Url, String> {
    let url = Url::parse(realm).ok().filter(Url::has_host);
    let url = url.ok_or("it gives no address for tokens (`realm`)")?;
    match url.scheme() {
        "https" => {}
        "http" if is_plain => {}
        _ => {
            return Err(
                "it wants tokens from an address without TLS, where all could read along"
                    .to_owned(),
            );
        }
    }
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err("its address for tokens has a name or password in it".to_owned()),
    }
}

/// What lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// For `Authorization`.
    pub(super) header: HeaderValue,
}

impl Pass {
    /// None where there is a letter in it that no header may have.
    fn new(scheme: &str, secret: &str) -> Option<Self> {
        let text = Zeroizing::new(format!("{scheme} {secret}"));
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(Self { header })
    }

    pub(super) fn basic(username: &str, password: &SecretText) -> Option<Self> {
        let both = Zeroizing::new(format!("{username}:{}", password.expose()));
        Self::new("Basic", &Zeroizing::new(STANDARD.encode(both.as_bytes())))
    }

    pub(super) fn bearer(token: &str) -> Option<Self> {
        Self::new("Bearer", token)
    }
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Purpose {
    /// The host of whoever wants it.
    registry: String,
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scopes: Vec<String>,
    /// Of the credentials.
    mark: Digest,
}

impl Purpose {
    pub(super) fn new(
        registry: &str,
        realm: Url,
        service: Option<String>,
        scopes: Vec<String>,
        credentials: &Credentials,
    ) -> Self {
        Self {
            registry: registry.to_owned(),
            realm,
            service,
            scopes,
            mark: credentials.mark(b""),
        }
    }
}

/// Tokens, and until when they last.
type Lasting = HashMap<Purpose, (Pass, Instant)>;

/// Tokens that last a while yet.
#[derive(Default)]
pub(super) struct Tokens(Mutex<Lasting>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// A token that was got before, if it is another one than what was rejected.
    pub(super) fn get(&self, purpose: &Purpose, rejected: Option<&Pass>) -> Option<Pass> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (pass, until) = all.get(purpose)?;
        if Some(pass) == rejected || *until <= Instant::now() {
            all.remove(purpose);
            return None;
        }
        Some(pass.clone())
    }

    /// Keeps a token for as long as it lasts. A registry with many loses one of its own.
    pub(super) fn keep(&self, purpose: Purpose, pass: &Pass, lasts: Duration) {
        let now = Instant::now();
        let until = now + lasts.saturating_sub(MARGIN);
        // What is no good any more takes nobody's place.
        if until <= now {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other, (_, until)| *until > now && *other != purpose);
        make_room(&mut all, MOST.0, |other| other.registry == purpose.registry);
        make_room(&mut all, MOST.1, |_| true);
        all.insert(purpose, (pass.clone(), until));
    }
}

/// Makes room for one more of some tokens, of which there are at most so many: what ends soonest goes.
fn make_room(all: &mut Lasting, most: usize, counts: impl Fn(&Purpose) -> bool) {
    while all.keys().filter(|purpose| counts(purpose)).count() >= most {
        let some = all.iter().filter(|(purpose, _)| counts(purpose));
        let soonest = some.min_by_key(|(_, (_, until))| *until);
        let Some(soonest) = soonest.map(|(purpose, _)| purpose.clone()) else {
            return;
        };
        all.remove(&soonest);
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<SecretText>,
    access_token: Option<SecretText>,
    expires_in: Option<u64>,
}

/// Asks for a token.
pub(super) async fn fetch(
    web: &Web<Outgoing>,
    purpose: &Purpose,
    found: &Found,
    patience: Duration,
) -> Result<(Pass, Duration), RegistryErrorKind> {
    let who = format!(
        "`{}` (which gives tokens for it)",
        purpose.realm.host_str().unwrap_or_default()
    );
    let request = request(purpose, &found.credentials)?;
    let answer = web.send(request, patience).await;
    let answer = answer.map_err(|problem| RegistryErrorKind::Unreachable {
        who: who.clone(),
        problem: Unreachable(problem),
    })?;
    let answer = accepted(answer, &who, found)?;
    let bytes = body::read(answer.into_body(), LARGEST, || {
        format!("the answer of {who}")
    })
    .await?;
    let wrong = || RegistryErrorKind::Protocol(format!("{who} answers without a token"));
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let filled = |token: &SecretText| !token.expose().is_empty();
    let token = answer
        .token
        .filter(filled)
        .or(answer.access_token.filter(filled));
    let pass = token
        .and_then(|token| Pass::bearer(token.expose()))
        .ok_or_else(wrong)?;
    let lasts = answer.expires_in.unwrap_or(LASTS.0).min(LASTS.1);
    Ok((pass, Duration::from_secs(lasts)))
}

/// What it says is not told: it has seen the secret.
fn accepted(
    answer: Response<Patient>,
    who: &str,
    found: &Found,
) -> Result<Response<Patient>, RegistryErrorKind> {
    let status = answer.status();
    let (who, message) = (who.to_owned(), String::new());
    match status {
        status if status.is_success() => Ok(answer),
        // The protocol for tokens of logins has no other word for "wrong".
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            Err(RegistryErrorKind::Denied(Box::new(Refusal {
                who,
                status,
                tried: Some(found.clone()),
                message,
            })))
        }
        _ => Err(RegistryErrorKind::Status {
            who,
            status,
            message,
            after: retry::after(answer.headers()),
        }),
    }
}

fn request(
    purpose: &Purpose,
    credentials: &Credentials,
) -> Result<Request<Outgoing>, RegistryErrorKind> {
    let mut url = purpose.realm.clone();
    let service = purpose.service.iter().map(|service| ("service", service));
    let scopes = purpose.scopes.iter().map(|scope| ("scope", scope));
    let mut request = Request::new(body::whole(Bytes::new()));
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    match credentials {
        Credentials::Identity(token) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("client_id", "wasmcloud");
            form.append_pair("refresh_token", token.expose());
            form.extend_pairs(service);
            // The one parameter that has all of them, with spaces between.
            form.append_pair("scope", &purpose.scopes.join(" "));
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, kind);
            *request.method_mut() = Method::POST;
            *request.body_mut() = body::whole(form.finish().into());
        }
        Credentials::Basic { username, password } => {
            url.query_pairs_mut()
                .extend_pairs(service)
                .extend_pairs(scopes);
            let pass = Pass::basic(username, password);
            headers.extend(pass.map(|pass| (AUTHORIZATION, pass.header)));
        }
        Credentials::Anonymous | Credentials::Bearer(_) => {
            url.query_pairs_mut()
                .extend_pairs(service)
                .extend_pairs(scopes);
        }
    }
    *request.uri_mut() = place::uri(&url)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str], is_plain: bool) -> Result<Challenge, String> {
        let headers = headers
            .iter()
            .map(|it| (WWW_AUTHENTICATE, it.parse().unwrap()));
        Challenge::read(&headers.collect(), is_plain).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bearer_token_is_preferred_to_a_password() {
        let bearer = r#"Bearer realm="https://auth.example/token?x=1",service="r.example",scope="repository:a:pull""#;
        let wanted = Challenge::Bearer {
            realm: "https://auth.example/token?x=1".parse().unwrap(),
            service: Some("r.example".to_owned()),
            scope: Some("repository:a:pull".to_owned()),
        };
        assert_eq!(read(&[bearer], false).unwrap(), wanted);
        assert_eq!(read(&["Basic realm=\"x\"", bearer], false).unwrap(), wanted);
        assert_eq!(read(&["bASIC"], false).unwrap(), Challenge::Basic);
    }

    #[test]
    fn a_challenge_that_would_show_the_password_to_others_is_refused() {
        let bearer = |realm: &str| read(&[&format!("Bearer realm=\"{realm}\"")], false);
        assert!(
            bearer("http://auth.example/token")
                .unwrap_err()
                .contains("without TLS")
        );
        assert!(
            bearer("file:///etc/passwd")
                .unwrap_err()
                .contains("no address")
        );
        assert!(bearer("/token").unwrap_err().contains("no address"));
        assert!(
            bearer("https://me:pw@auth.example/")
                .unwrap_err()
                .contains("name or password")
        );
        assert!(read(&["Bearer realm=\"http://auth.example/\""], true).is_ok());
        for unknown in [&[][..], &["Negotiate"], &[""], &["Digest realm=\"x\""]] {
            assert!(
                read(unknown, false)
                    .unwrap_err()
                    .contains("does not say which")
            );
        }
    }

    fn purpose(registry: &str, scope: &str, credentials: &Credentials) -> Purpose {
        let realm = "https://auth.example/".parse().unwrap();
        let scopes = vec![scope.to_owned()];
        Purpose::new(registry, realm, None, scopes, credentials)
    }

    /// Has a token kept for so many seconds.
    fn keep(tokens: &Tokens, registry: &str, scope: &str, lasts: u64) -> Purpose {
        let purpose = purpose(registry, scope, &Credentials::Anonymous);
        let pass = Pass::bearer("t").unwrap();
        tokens.keep(purpose.clone(), &pass, Duration::from_secs(lasts));
        purpose
    }

    #[test]
    fn a_token_is_used_until_it_is_rejected_or_ends() {
        let tokens = Tokens::default();
        let purpose = |credentials: &Credentials| purpose("r.example", "s", credentials);
        let anonymous = purpose(&Credentials::Anonymous);
        let pass = Pass::bearer("t").unwrap();
        tokens.keep(anonymous.clone(), &pass, Duration::from_secs(60));
        assert_eq!(tokens.get(&anonymous, None), Some(pass.clone()));
        assert_eq!(
            tokens.get(&purpose(&Credentials::Bearer("x".into())), None),
            None
        );
        assert_eq!(tokens.get(&anonymous, Some(&pass)), None);
        assert_eq!(tokens.get(&anonymous, None), None);
        tokens.keep(anonymous.clone(), &pass, Duration::from_secs(4));
        assert_eq!(tokens.get(&anonymous, None), None);
        assert!(!format!("{pass:?}").contains("Bearer"));
        assert_eq!(Pass::bearer("a\nb"), None);
    }

    #[test]
    fn a_registry_that_wants_many_tokens_takes_no_other_registrys_place() {
        let tokens = Tokens::default();
        let other = keep(&tokens, "r.example", "s", 600);
        let many: Vec<Purpose> = (0..=MOST.0)
            .map(|nth| {
                keep(
                    &tokens,
                    "evil.example",
                    &nth.to_string(),
                    80_000 - 1000 * nth as u64,
                )
            })
            .collect();
        let is_there = |purpose: &Purpose| tokens.get(purpose, None).is_some();
        assert!(is_there(&other));
        // Of its own, the one that would have ended first made room for the last.
        let gone: Vec<usize> = (0..many.len())
            .filter(|nth| !is_there(&many[*nth]))
            .collect();
        assert_eq!(gone, [MOST.0 - 1]);
    }

    #[test]
    fn among_too_many_tokens_the_one_that_ends_soonest_makes_room() {
        let tokens = Tokens::default();
        let first = keep(&tokens, "first.example", "s", 3000);
        let soonest = keep(&tokens, "soonest.example", "s", 600);
        for nth in 2..MOST.1 {
            keep(&tokens, &format!("{nth}.example"), "s", 3000);
        }
        assert!(tokens.get(&soonest, None).is_some());
        // What is kept anew takes its own place.
        keep(&tokens, "first.example", "s", 4000);
        assert!(tokens.get(&soonest, None).is_some());
        let last = keep(&tokens, "last.example", "s", 300);
        assert!(tokens.get(&soonest, None).is_none());
        assert!(tokens.get(&first, None).is_some() && tokens.get(&last, None).is_some());
        assert_eq!(tokens.0.lock().unwrap().len(), MOST.1);
    }
}
