//! Where a registry is, and where its answers lead.

use http::Uri;
use url::Url;

use super::error::RegistryErrorKind;

/// A registry or a mirror.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What it is called in messages, and where its credentials are kept.
    pub(super) host: String,
    base: Url,
    /// Before the name of each repository.
    path: Option<String>,
}

impl Place {
    /// None if there is no such host, which references and settings have made sure of.
    pub(super) fn new(host: &str, path: Option<String>, plain_http: bool) -> Option<Self> {
        Some(Self {
            host: host.to_owned(),
            base: base(host, plain_http)?,
            path,
        })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// What it calls a repository.
    pub(super) fn repository(&self, repository: &str) -> String {
        match &self.path {
            Some(path) => format!("{path}/{repository}"),
            None => repository.to_owned(),
        }
    }

    /// What is below a repository.
    pub(super) fn url(&self, repository: &str, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{rest}"));
        url
    }
}

/// Where a registry is, by what references call it.
pub(in crate::registry) fn base(registry: &str, plain_http: bool) -> Option<Url> {
    let at = match registry {
        "docker.io" => "registry-1.docker.io",
        registry => registry,
    };
    let scheme = if plain_http { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{at}/")).ok()
}

/// Whether two addresses are of one server, as browsers have it.
pub(super) fn is_same(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Where a `Location` leads. What could show secrets to others is not followed.
pub(super) fn follow(from: &Url, location: &str) -> Result<Url, RegistryErrorKind> {
    let wrong = |text: &str| RegistryErrorKind::Redirect(text.to_owned());
    let mut to = from
        .join(location)
        .map_err(|_| wrong("to what is no address"))?;
    to.set_fragment(None);
    match (from.scheme(), to.scheme()) {
        ("https" | "http", "https") | ("http", "http") => {}
        ("https", "http") => return Err(wrong("from https to http, where all could read along")),
        _ => return Err(wrong("to something else than HTTP")),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(wrong("to an address with a name and password in it"));
    }
    Ok(to)
}

pub(super) fn uri(url: &Url) -> Result<Uri, RegistryErrorKind> {
    let uri = url.as_str().parse();
    uri.map_err(|_| RegistryErrorKind::Redirect("to what is no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Reference;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn docker_is_at_another_name_and_a_mirror_may_have_repositories_below_a_path() {
        let docker = Place::new("docker.io", None, false).unwrap();
        let url = docker.url(&docker.repository("library/redis"), "manifests/latest");
        assert_eq!(
            url.as_str(),
            "https://registry-1.docker.io/v2/library/redis/manifests/latest"
        );
        let mirror = Place::new("[::1]:5000", Some("hub".to_owned()), true).unwrap();
        let url = mirror.url(&mirror.repository("acme/shop"), "tags/list");
        assert_eq!(url.as_str(), "http://[::1]:5000/v2/hub/acme/shop/tags/list");
    }

    #[test]
    fn a_registry_is_asked_at_the_host_and_port_that_its_reference_shows() {
        for (image, at) in [
            ("index.docker.io:443/redis", "https://registry-1.docker.io/"),
            ("GHCR.io:0443/x", "https://ghcr.io/"),
            ("r.example:05000/x", "https://r.example:5000/"),
            ("registry:443/x", "https://registry/"),
            ("10.0.0.5/x", "https://10.0.0.5/"),
            ("[::ffff:10.0.0.5]:5000/x", "https://10.0.0.5:5000/"),
            ("[2001:DB8:0::1]:5000/x", "https://[2001:db8::1]:5000/"),
        ] {
            let image: Reference = image.parse().unwrap();
            let place = Place::new(image.registry(), None, false).unwrap();
            let url = place.url(&place.repository(image.repository()), "tags/list");
            let wanted = format!("{at}v2/{}/tags/list", image.repository());
            assert_eq!(url.as_str(), wanted);
        }
    }

    #[test]
    fn redirects_are_followed_where_nobody_else_can_read_along() {
        let from = url("https://r.example/v2/a/blobs/x?y=1");
        let to = |location: &str| follow(&from, location).map(String::from);
        assert_eq!(to("/z?q=%2F#f").unwrap(), "https://r.example/z?q=%2F");
        assert_eq!(to("//cdn.example/z").unwrap(), "https://cdn.example/z");
        for wrong in [
            "http://r.example/",
            "file:///etc/passwd",
            "ftp://x/",
            "https://",
            "https://a:b@r.example/",
            "https://[::/",
        ] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
        assert!(follow(&url("http://r.example/"), "http://other.example/").is_ok());
    }

    #[test]
    fn a_server_is_its_scheme_name_and_port() {
        let here = url("https://r.example/a");
        assert!(is_same(&here, &url("https://R.example:443/b")));
        for other in [
            "http://r.example/",
            "https://r.example:444/",
            "https://x.r.example/",
            "https://r.example.evil/",
        ] {
            assert!(!is_same(&here, &url(other)), "{other}");
        }
    }
}
