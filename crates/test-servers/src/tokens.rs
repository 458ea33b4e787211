//! A server that gives tokens for a registry, as the token specification of Docker's registry has it.

use std::io::{BufReader, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::link::{Link, Listener};
use crate::wire::{self, Body, Head};

/// How a token of a user begins that gets others.
const REFRESH: &str = "refresh-token-of-";
/// How long a token is good for, in seconds.
const LIFETIME: i64 = 300;
/// A registry takes a token for a minute after its end.
const LONG_AGO: i64 = 3600;

/// Whom a server gives tokens for what.
#[derive(Clone, Debug, Default)]
pub struct TokenOptions {
    /// Those it knows, each with a password. They may do all, but for `limits`.
    pub users: Vec<(String, String)>,
    /// Users that may use only the repositories whose names begin with that text.
    pub limits: Vec<(String, String)>,
    /// Whether anybody may pull.
    pub public: bool,
    /// Whether it does not know OAuth2: to a `POST` it answers 404, as older ones do.
    pub only_get: bool,
}

/// What a server of tokens was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The `grant_type` of a `POST`.
    pub grant: Option<String>,
    /// Whom the token is for.
    pub service: String,
    /// All that was asked for, one by one (`repository:NAME:pull,push`).
    pub scopes: Vec<String>,
    /// Who asked, by a name with its password or by a refresh token. `None`: somebody without any.
    pub user: Option<String>,
    /// Whether a token was given. It may be good for less than was asked for.
    pub given: bool,
}

/// A server of tokens. It ends when this is dropped.
#[derive(Debug)]
pub struct Tokens {
    listener: Listener,
    tls: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: TokenOptions,
    /// What tokens are signed with. The registry trusts its authority.
    certificates: Certificates,
    _folder: TempDir,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<TokenRequest>,
    /// How many of the next tokens have expired already.
    expired: usize,
}

impl Tokens {
    /// The service that it gives tokens for.
    pub const SERVICE: &str = "registry.test";

    pub(crate) fn start(options: TokenOptions, tls: Option<Arc<ServerConfig>>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Arc::new(Shared {
            options,
            certificates: Certificates::new(folder.path(), &[]),
            _folder: folder,
            state: Mutex::default(),
        });
        let of_listener = Arc::clone(&shared);
        let is_tls = tls.is_some();
        let listener = Listener::start(tls, move |link| of_listener.serve(link));
        Self {
            listener,
            tls: is_tls,
            shared,
        }
    }

    /// Where it is asked for tokens. It has TLS if its registry has, by the same certificate.
    #[must_use]
    pub fn realm(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/token", self.listener.port())
    }

    /// All that it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<TokenRequest> {
        self.shared.lock().asked.clone()
    }

    /// Has so many of the next tokens be no good any more by the time that they are given, although they are said to be.
    pub fn expire_next(&self, count: usize) {
        self.shared.lock().expired = count;
    }

    /// The refresh token (`identitytoken` in Docker's configuration) of a user.
    #[must_use]
    pub fn refresh_token(user: &str) -> String {
        format!("{REFRESH}{user}")
    }

    /// What the registry has to know about it.
    pub(crate) fn configuration(&self) -> Value {
        json!({
            "realm": self.realm(),
            "service": Self::SERVICE,
            "issuer": "the test",
            "rootcertbundle": self.shared.certificates.ca,
        })
    }
}

/// What came with a request, of a query or a form.
type Fields = Vec<(String, String)>;

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| value.as_str())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut link: BufReader<Link>) {
        while let Some(head) = Head::read(&mut link) {
            let mut body = Vec::new();
            let read = Body::new(&mut link, head.body_of_request()).read_to_end(&mut body);
            if read.is_err() {
                return;
            }
            let (status, answer) = self.answer(&head, &body);
            let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
            let text = answer.to_string();
            let to = link.get_mut();
            if wire::answer(to, head.word(0), status, &headers, text.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &Head, body: &[u8]) -> (u16, Value) {
        let method = head.word(0);
        let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
        let post = method == "POST" && !self.options.only_get;
        if path != "/token" || !(post || method == "GET") {
            return (404, json!({"error": "not found"}));
        }
        let text = if post {
            std::str::from_utf8(body).unwrap_or_default()
        } else {
            query
        };
        let fields = fields(text);
        let grant = field(&fields, "grant_type").filter(|_| post);
        let who = if post {
            self.by_form(&fields)
        } else {
            self.by_header(head)
        };
        let scopes = fields.iter().filter(|(name, _)| name == "scope");
        let scopes: Vec<String> = scopes
            .flat_map(|(_, value)| value.split(' ').map(str::to_owned))
            .filter(|scope| !scope.is_empty())
            .collect();
        let mut state = self.lock();
        state.asked.push(TokenRequest {
            method: method.to_owned(),
            grant: grant.map(str::to_owned),
            service: field(&fields, "service").unwrap_or_default().to_owned(),
            scopes: scopes.clone(),
            user: who.as_ref().ok().cloned().flatten(),
            given: who.is_ok(),
        });
        let Ok(user) = who else {
            return (
                401,
                json!({"errors": [{"code": "UNAUTHORIZED", "message": "not with these"}]}),
            );
        };
        let expired = state.expired > 0;
        state.expired = state.expired.saturating_sub(1);
        drop(state);
        let token = self.token(user.as_deref(), &scopes, expired);
        let mut answer = json!({"access_token": token, "expires_in": LIFETIME});
        if !post {
            answer["token"] = token.into();
        }
        let stays = field(&fields, "access_type") == Some("offline")
            || field(&fields, "offline_token") == Some("true")
            || grant == Some("refresh_token");
        if let Some(user) = user.filter(|_| stays) {
            answer["refresh_token"] = Tokens::refresh_token(&user).into();
        }
        (200, answer)
    }

    /// Who it is by `Basic`. `Err`: none of ours.
    fn by_header(&self, head: &Head) -> Result<Option<String>, ()> {
        let Some(value) = head.header("authorization") else {
            return Ok(None);
        };
        let coded = value.strip_prefix("Basic ").ok_or(())?;
        let text = BASE64_STANDARD.decode(coded).map_err(drop)?;
        let text = String::from_utf8(text).map_err(drop)?;
        let (user, password) = text.split_once(':').ok_or(())?;
        self.known(user, password)
    }

    /// Who it is by a form of OAuth2.
    fn by_form(&self, fields: &Fields) -> Result<Option<String>, ()> {
        match field(fields, "grant_type") {
            Some("password") => {
                let user = field(fields, "username").ok_or(())?;
                self.known(user, field(fields, "password").ok_or(())?)
            }
            Some("refresh_token") => {
                let token = field(fields, "refresh_token").ok_or(())?;
                let user = token.strip_prefix(REFRESH).ok_or(())?;
                let mut users = self.options.users.iter();
                let is_known = users.any(|(it, _)| it == user);
                is_known.then(|| Some(user.to_owned())).ok_or(())
            }
            _ => Err(()),
        }
    }

    fn known(&self, user: &str, password: &str) -> Result<Option<String>, ()> {
        let mut users = self.options.users.iter();
        let is_known = users.any(|(it, its)| it == user && its == password);
        is_known.then(|| Some(user.to_owned())).ok_or(())
    }

    /// A token for as much of the scopes as that user may.
    fn token(&self, user: Option<&str>, scopes: &[String], expired: bool) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let now = i64::try_from(now).expect("before the end of time");
        let begin = if expired { now - LONG_AGO } else { now };
        let access = scopes.iter().filter_map(|scope| self.access(user, scope));
        // The certificate says which key it is.
        let head = json!({
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [BASE64_STANDARD.encode(&self.certificates.der)],
        });
        let claims = json!({
            "iss": "the test",
            "sub": user.unwrap_or_default(),
            "aud": Tokens::SERVICE,
            "exp": begin + LIFETIME,
            "nbf": begin - 10,
            "iat": begin,
            "jti": "any",
            "access": access.collect::<Vec<_>>(),
        });
        let coded = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", coded(head), coded(claims));
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.certificates.pkcs8, &random);
        let signature = key.expect("a key").sign(&random, text.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        format!("{text}.{signature}")
    }

    /// What of a scope that user may.
    fn access(&self, user: Option<&str>, scope: &str) -> Option<Value> {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let is_own = |user: &str| {
            let mut limits = self.options.limits.iter().filter(|(it, _)| it == user);
            let mut limits = limits.by_ref().peekable();
            limits.peek().is_none() || limits.any(|(_, begin)| name.starts_with(begin.as_str()))
        };
        let may =
            |action: &str| user.is_some_and(is_own) || self.options.public && action == "pull";
        let actions: Vec<&str> = actions.split(',').filter(|action| may(action)).collect();
        Some(json!({"type": kind, "name": name, "actions": actions}))
    }
}

/// The fields of a query or of a form.
fn fields(text: &str) -> Fields {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// A text without the codes that a URL needs.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (code, after) = rest.split_at_checked(2).unwrap_or((b"", rest));
                rest = after;
                let code = std::str::from_utf8(code).unwrap_or_default();
                u8::from_str_radix(code, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
