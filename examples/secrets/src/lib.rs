//! A door that opens for whoever knows the key. The key is a secret: it is not in this code, not in the manifest, and the component
//! reads it anew for every request, so that a new one counts at once.

use http::StatusCode;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::http_compat::{http_from_wasi_request, http_into_wasi_response};

use wasmcloud::secrets::reveal::reveal;
use wasmcloud::secrets::store::{self, SecretValue, SecretsError};

wit_bindgen::generate!({ path: "wit", world: "door", generate_all });

/// The name of the secret. Who may read it, and where it is, the manifest says.
const KEY: &str = "door-key";

struct Door;

impl Guest for Door {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let shown = request.headers().get("authorization");
        let shown = shown.and_then(|header| header.as_bytes().strip_prefix(b"Bearer "));
        let (status, text) = match key().await {
            Ok(key) => answer(shown, &key),
            Err(SecretsError::NotFound) => (StatusCode::NOT_FOUND, "This door has no key yet.\n"),
            Err(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The key cannot be found.\n",
            ),
        };
        let mut response = http::Response::new(text.to_owned());
        *response.status_mut() = status;
        http_into_wasi_response(response)
    }
}

wasip3::http::service::export!(Door);

/// The key as it is now. Until it is revealed, the component holds no more than a handle.
async fn key() -> Result<Vec<u8>, SecretsError> {
    let secret = store::get(KEY.to_owned()).await?;
    Ok(match reveal(&secret).await {
        SecretValue::String(text) => text.into_bytes(),
        SecretValue::Bytes(bytes) => bytes,
    })
}

/// What to answer to whoever shows a key.
fn answer(shown: Option<&[u8]>, key: &[u8]) -> (StatusCode, &'static str) {
    match shown {
        None => (StatusCode::UNAUTHORIZED, "Who is there? Show a key.\n"),
        Some(shown) if same(shown, key) => (StatusCode::OK, "Come in.\n"),
        Some(_) => (StatusCode::FORBIDDEN, "That is not the key.\n"),
    }
}

/// Takes as long whatever the bytes are, so that nobody finds them one by one.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let status = |shown: Option<&str>| answer(shown.map(str::as_bytes), b"open").0;
        assert_eq!(status(Some("open")), StatusCode::OK);
        for wrong in ["", "ope", "opened", "OPEN"] {
            assert_eq!(status(Some(wrong)), StatusCode::FORBIDDEN);
        }
        assert_eq!(status(None), StatusCode::UNAUTHORIZED);
    }
}
