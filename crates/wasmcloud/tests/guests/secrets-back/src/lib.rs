//! Reads secrets that its sibling was not given.

use wasmcloud::secrets::reveal::reveal;
use wasmcloud::secrets::store::{Secret, SecretValue, get};

wit_bindgen::generate!({ path: "../wit", world: "secrets-back", generate_all });

struct Back;

impl exports::test::secrets::desk::Guest for Back {
    async fn read(name: String) -> Result<String, String> {
        let secret = get(name).await.map_err(|error| format!("{error:?}"))?;
        Ok(text(&secret).await)
    }

    async fn look(at: &Secret) -> String {
        text(at).await
    }
}

async fn text(secret: &Secret) -> String {
    match reveal(secret).await {
        SecretValue::String(text) => text,
        SecretValue::Bytes(bytes) => format!("{bytes:?}"),
    }
}

export!(Back);
