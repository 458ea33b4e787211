//! Where a request goes, read from it once, and the request in the form that each version of HTTP wants.

use http::header::HOST;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Version};
use wasmtime_wasi_http::{Error, Result, WasiBody};

use crate::workload::{Destination, RemoteHost, Scheme};

/// A request and where it goes.
pub(super) struct Target {
    pub(super) to: Destination,
    /// The whole of it; a request over HTTP/1.1 has only a part.
    uri: Uri,
    host: HeaderValue,
}

impl Target {
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self> {
        if *request.method() == Method::CONNECT {
            // A tunnel would carry what nobody has looked at.
            return Err(Error::HttpRequestMethodInvalid);
        }
        let uri = request.uri();
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let text = authority.as_str();
        let host = RemoteHost::parse(authority.host()).ok_or(Error::HttpRequestUriInvalid)?;
        let port = match text.strip_prefix(authority.host()) {
            Some("") => Some(scheme.default_port()),
            Some(_) => authority.port_u16().filter(|port| *port > 0),
            // Somebody's name and password come first.
            None => None,
        };
        Ok(Self {
            to: Destination {
                scheme: Some(scheme),
                host,
                port: port.ok_or(Error::HttpRequestUriInvalid)?,
            },
            uri: uri.clone(),
            host: HeaderValue::from_str(text).map_err(|_| Error::HttpRequestUriInvalid)?,
        })
    }

    /// Puts a request into the form of HTTP/1.1: the path in the first line, the host in a header.
    pub(super) fn http1(&self, request: &mut Request<WasiBody>) {
        let path = self.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
    }

    /// Puts a request into the form of HTTP/2: everything in the target.
    pub(super) fn http2(&self, request: &mut Request<WasiBody>) {
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn read(uri: &str) -> Result<String> {
        let request = Request::get(uri).body(()).unwrap();
        Target::of(&request).map(|target| target.to.to_string())
    }

    #[test]
    fn a_request_says_where_it_goes() {
        for (uri, wanted) in [
            ("http://example.com/path?token=secret", "http://example.com"),
            ("https://Example.com.:8443", "https://example.com:8443"),
            ("http://[::ffff:127.0.0.1]:80/", "http://127.0.0.1"),
            ("https://[2001:db8::1]/", "https://[2001:db8::1]"),
            ("http://my_service:8080/", "http://my_service:8080"),
        ] {
            assert_eq!(read(uri).unwrap(), wanted, "{uri}");
        }
    }

    #[test]
    fn what_goes_nowhere_is_an_error() {
        for uri in [
            "/path",
            "http://user:password@example.com/",
            "http://allowed.example@evil.example/",
            "http://example.com:0/",
            "http://example.com:/",
            "http://example.com:99999/",
            "http://[fe80::1%25eth0]/",
            "http://a..b/",
        ] {
            if let Ok(uri) = uri.parse::<Uri>() {
                let request = Request::get(uri.clone()).body(()).unwrap();
                assert!(Target::of(&request).is_err(), "{uri}");
            }
        }
    }

    #[test]
    fn tunnels_are_not_given() {
        let request = Request::connect("http://example.com/").body(()).unwrap();
        assert!(matches!(
            Target::of(&request),
            Err(Error::HttpRequestMethodInvalid)
        ));
    }
}
