//! Secrets in the environment of the host: those variables that the host's configuration lets a workload read.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use async_trait::async_trait;

use super::KEY_VARIABLE;
use super::options::Variables;
use super::{MOST_BYTES, Secret, SecretStore, SecretsError};
use crate::workload::SecretName;

/// How a variable is looked up.
pub(super) type Lookup = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// The environment, as far as one workload may see it.
pub(crate) struct Environment {
    prefix: String,
    allowed: Vec<Variables>,
    lookup: Lookup,
}

impl Environment {
    pub(crate) fn new(prefix: String, allowed: Vec<Variables>) -> Self {
        Self::with(prefix, allowed, Arc::new(|name| std::env::var_os(name)))
    }

    pub(super) fn with(prefix: String, allowed: Vec<Variables>, lookup: Lookup) -> Self {
        Self {
            prefix,
            allowed,
            lookup,
        }
    }

    /// The variable of a secret, and whether the host lets the workload read it.
    pub(crate) fn variable(&self, name: &SecretName) -> (String, bool) {
        let variable = variable(&self.prefix, name);
        let allowed = self.allowed.iter().any(|it| it.cover(&variable));
        (variable, allowed)
    }
}

/// The name of a secret in capital letters, with `_` for `-` and `.`, behind the prefix.
fn variable(prefix: &str, name: &SecretName) -> String {
    let name = name.as_str().to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{prefix}{name}")
}

#[async_trait]
impl SecretStore for Environment {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let (variable, allowed) = self.variable(name);
        if !allowed || variable == KEY_VARIABLE {
            let problem = "the host's configuration does not let this workload read it";
            return Err(SecretsError::source(
                format!("the variable `{variable}`"),
                problem,
            ));
        }
        match (self.lookup)(&variable).map(OsString::into_vec) {
            Some(bytes) if bytes.len() > MOST_BYTES => {
                drop(Secret::new(bytes));
                Err(SecretsError::TooLarge)
            }
            found => Ok(found.map(Secret::new)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn environment(allowed: &[&str]) -> Environment {
        let allowed = allowed.iter().map(|it| it.parse().unwrap()).collect();
        let lookup: Lookup = Arc::new(|name| match name {
            "SHOP_API_KEY" => Some("value".into()),
            _ => None,
        });
        Environment::with("SHOP_".to_owned(), allowed, lookup)
    }

    async fn get(environment: &Environment, name: &str) -> Result<Option<String>, String> {
        let found = environment.get(&name.parse().unwrap()).await;
        let text = |secret: Secret| secret.text().unwrap().to_owned();
        found.map(|it| it.map(text)).map_err(|it| it.to_string())
    }

    #[tokio::test]
    async fn a_secret_is_the_variable_in_capital_letters() {
        let environment = environment(&["SHOP_*"]);
        for name in ["api-key", "api_key", "API.KEY"] {
            assert_eq!(get(&environment, name).await, Ok(Some("value".to_owned())));
        }
        assert_eq!(get(&environment, "other").await, Ok(None));
    }

    #[tokio::test]
    async fn the_key_of_the_encrypted_store_is_no_secret() {
        let allowed = vec!["WASMCLOUD_*".parse().unwrap()];
        let lookup: Lookup = Arc::new(|_| Some("value".into()));
        let environment = Environment::with("WASMCLOUD_".to_owned(), allowed, lookup);
        let told = get(&environment, "secrets-key").await.unwrap_err();
        assert!(told.contains("`WASMCLOUD_SECRETS_KEY`"), "{told}");
        assert!(get(&environment, "other").await.is_ok());
    }

    #[tokio::test]
    async fn what_the_host_does_not_allow_is_not_read() {
        for allowed in [&[][..], &["SHOP_API"], &["OTHER_*"]] {
            let told = get(&environment(allowed), "api-key").await.unwrap_err();
            assert!(
                told.contains("`SHOP_API_KEY`: the host's configuration"),
                "{told}"
            );
        }
    }
}
