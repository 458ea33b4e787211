//! Asks for secrets, and has a sibling ask.

use test::secrets::desk;
use wasmcloud::secrets::reveal::reveal;
use wasmcloud::secrets::store::{SecretValue, get};

wit_bindgen::generate!({ path: "../wit", world: "secrets-front", generate_all });

struct Front;

impl exports::test::secrets::front::Guest for Front {
    async fn read(name: String) -> Result<String, String> {
        let secret = get(name).await.map_err(|error| format!("{error:?}"))?;
        Ok(match reveal(&secret).await {
            SecretValue::String(text) => text,
            SecretValue::Bytes(bytes) => format!("{bytes:?}"),
        })
    }

    async fn read_behind(name: String) -> Result<String, String> {
        desk::read(name).await
    }

    async fn show_behind(name: String) -> Result<String, String> {
        let secret = get(name).await.map_err(|error| format!("{error:?}"))?;
        Ok(desk::look(&secret).await)
    }

    async fn hoard(name: String, most: u32) -> String {
        let mut held = Vec::new();
        for _ in 0..most {
            match get(name.clone()).await {
                Ok(secret) => held.push(secret),
                Err(error) => return format!("{}: {error:?}", held.len() > 10),
            }
        }
        "all".to_owned()
    }
}

export!(Front);
