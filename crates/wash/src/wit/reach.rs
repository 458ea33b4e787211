//! The way to a registry: with TLS or without, whose certificates are trusted, and with which name and password. The project may say
//! so, and the user's own configuration of `wkg`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use wasm_pkg_common::config::RegistryConfig;
use wasm_pkg_common::metadata::OCI_PROTOCOL;
use wasmcloud::registry::SecretText;

use super::settings::Login;

/// With padding or without, as `wkg` reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the project says about the way to a registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) plain: Option<bool>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) login: Option<Login>,
}

/// The way to a registry, and what lets one in.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) way: Way,
    pub(super) login: Option<Login>,
}

/// The way to a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    /// Name or address, and port if it has one, in lower case.
    pub(super) host: String,
    /// Whether it is asked without TLS.
    pub(super) plain: bool,
    /// Files with certificates of authorities that may vouch for it.
    pub(super) ca_files: Vec<PathBuf>,
    /// Such certificates themselves, in PEM.
    pub(super) certificates: Vec<String>,
}

/// What `wkg` knows about a registry of OCI.
#[derive(Default, Deserialize)]
struct Table {
    auth: Option<Auth>,
    protocol: Option<String>,
    #[serde(default)]
    accept_invalid_certificates: bool,
    #[serde(default)]
    extra_root_certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Auth {
    /// `name:password` in base64.
    Text(String),
    Fields {
        username: String,
        password: SecretText,
    },
}

#[derive(Deserialize)]
struct Certificate {
    encoding: String,
    data: String,
}

/// The way to a host. `way` is what the user says about it, and `login` what about a registry that has led there, whose name and password
/// count before those of the host. What the project says counts more than both. The error says what is wrong with what the user says.
pub(super) fn reach(
    host: &str,
    said: &Said,
    way: Option<&RegistryConfig>,
    login: Option<&RegistryConfig>,
) -> Result<Reach, String> {
    let table = table(way)?;
    let plain = match (said.plain, table.protocol.as_deref()) {
        (Some(plain), _) => plain,
        (None, Some("http")) => true,
        (None, Some("https") | None) => false,
        (None, Some(_)) => return Err("`protocol` is neither http nor https".to_owned()),
    };
    if table.accept_invalid_certificates {
        let text = "`accept_invalid_certificates` is not supported: name the authority in `extra_root_certificates`, or in `ca_file` of `wit.registries`";
        return Err(text.to_owned());
    }
    let certificates = table.extra_root_certificates.into_iter();
    let certificates = certificates.map(|it| match it.encoding.as_str() {
        "pem" => Ok(it.data),
        _ => Err("only certificates whose `encoding` is pem are read".to_owned()),
    });
    let login = match &said.login {
        Some(login) => Some(login.clone()),
        None => {
            let auth = self::table(login)?.auth.or(table.auth);
            auth.map(Auth::read).transpose()?
        }
    };
    Ok(Reach {
        way: Way {
            host: host.to_ascii_lowercase(),
            plain,
            ca_files: said.ca_file.iter().cloned().collect(),
            certificates: certificates.collect::<Result<_, _>>()?,
        },
        login,
    })
}

fn table(config: Option<&RegistryConfig>) -> Result<Table, String> {
    let table = config.map(|it| it.backend_config(OCI_PROTOCOL)).transpose();
    let table = table.map_err(|error| told(&error))?;
    Ok(table.flatten().unwrap_or_default())
}

impl Auth {
    fn read(self) -> Result<Login, String> {
        let wrong = || "`auth` is no base64 of `name:password`".to_owned();
        match self {
            Self::Fields { username, password } => Ok(Login {
                username,
                token: password,
            }),
            Self::Text(text) => {
                let bytes = BASE64.decode(text).map_err(|_| wrong())?;
                let text = String::from_utf8(bytes).map_err(|_| wrong())?;
                let (username, password) = text.split_once(':').ok_or_else(wrong)?;
                Ok(Login {
                    username: username.to_owned(),
                    token: password.into(),
                })
            }
        }
    }
}

/// What an error says, without what it quotes: a configuration may hold passwords.
pub(super) fn told(error: &wasm_pkg_common::Error) -> String {
    use wasm_pkg_common::Error;
    match error {
        Error::ConfigFileIoError(error) => error.to_string(),
        Error::InvalidConfig(error) => match error.downcast_ref::<toml::de::Error>() {
            Some(error) => error.message().trim().to_owned(),
            None => "it is no valid configuration".to_owned(),
        },
        _ => "it is no valid configuration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use wasm_pkg_common::config::Config;

    use super::*;

    fn of(table: &str) -> Result<Reach, String> {
        let text = format!("[registry.\"r.example\".oci]\n{table}\n");
        let config = Config::from_toml(&text).unwrap();
        let config = config.registry_config(&"r.example".parse().unwrap());
        reach("R.example", &Said::default(), config, config)
    }

    #[test]
    fn what_the_user_says_to_wkg_counts() {
        let reach = of("protocol = \"http\"\nauth = \"YW5uOnMzY3JldA\"\nextra_root_certificates = [{encoding = \"pem\", data = \"x\"}]").unwrap();
        assert_eq!(
            (reach.way.host.as_str(), reach.way.plain),
            ("r.example", true)
        );
        assert_eq!(reach.way.certificates, ["x"]);
        assert_eq!(reach.login.clone().unwrap().username, "ann");
        assert!(!format!("{reach:?}").contains("s3cret"));
        let reach = of("auth = { username = \"ann\", password = \"s3cret\" }").unwrap();
        assert!(!reach.way.plain && reach.login.is_some());
    }

    #[test]
    fn what_is_not_supported_or_makes_no_sense_is_told_without_a_secret() {
        for (table, wanted) in [
            ("protocol = \"gopher\"", "neither http nor https"),
            ("accept_invalid_certificates = true", "is not supported"),
            (
                "extra_root_certificates = [{encoding = \"der\", data = \"x\"}]",
                "`encoding` is pem",
            ),
            ("auth = \"s3cret\"", "no base64"),
            (
                "auth = { username = \"ann\", passwort = \"s3cret\" }",
                "did not match",
            ),
        ] {
            let error = of(table).unwrap_err();
            assert!(
                error.contains(wanted) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
