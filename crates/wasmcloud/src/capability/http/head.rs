//! How much may stand in the head of a request or of an answer.

use std::fmt;

use http::{HeaderMap, Request, Response, StatusCode};

use super::limits::HttpLimits;

/// What HTTP puts around a field: colon, space and the end of the line.
const FIELD_OVERHEAD: usize = 4;

/// More than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    what: &'static str,
    found: usize,
    allowed: usize,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            found,
            allowed,
        } = self;
        write!(f, "{found} {what}, at most {allowed} are allowed")
    }
}

/// Whether header fields keep to a number and a size.
pub(super) fn check(headers: &HeaderMap, (fields, size): (usize, usize)) -> Result<(), Excess> {
    if headers.len() > fields {
        return Err(Excess {
            what: "header fields",
            found: headers.len(),
            allowed: fields,
        });
    }
    let found = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    if found > size {
        return Err(Excess {
            what: "bytes of header fields",
            found,
            allowed: size,
        });
    }
    Ok(())
}

/// Whether the head of a request keeps to the limits, and with which status it is refused if not.
pub(super) fn of_request<B>(
    request: &Request<B>,
    limits: &HttpLimits,
) -> Result<(), (StatusCode, Excess)> {
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len())
        + uri
            .authority()
            .map_or(0, |authority| authority.as_str().len());
    if length > limits.uri_length {
        let excess = Excess {
            what: "bytes of URI",
            found: length,
            allowed: limits.uri_length,
        };
        return Err((StatusCode::URI_TOO_LONG, excess));
    }
    check(
        request.headers(),
        (limits.header_fields, limits.head_size()),
    )
    .map_err(|excess| (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, excess))
}

/// Whether the head of an answer keeps to the limits.
pub(super) fn of_answer<B>(response: &Response<B>, limits: &HttpLimits) -> Result<(), Excess> {
    check(
        response.headers(),
        (limits.header_fields, limits.head_size()),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use http::HeaderValue;

    use super::*;

    fn limits() -> HttpLimits {
        HttpLimits {
            header_fields: 2,
            uri_length: 10,
            ..HttpLimits::default()
        }
    }

    fn refused(uri: &str, fields: usize, value: usize) -> Option<(u16, String)> {
        let mut request = Request::get(uri).body(()).unwrap();
        for _ in 0..fields {
            let value = HeaderValue::from_str(&"v".repeat(value)).unwrap();
            request.headers_mut().append("n", value);
        }
        let refused = of_request(&request, &limits()).err();
        refused.map(|(status, excess)| (status.as_u16(), excess.to_string()))
    }

    #[test]
    fn what_fits_is_taken() {
        assert_eq!(refused("/123456789", 2, 9), None);
        assert_eq!(refused("http://a/2345678", 1, 65_531), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_what_it_is() {
        let uri = |found| format!("{found} bytes of URI, at most 10 are allowed");
        assert_eq!(refused("/1234567890", 0, 0), Some((414, uri(11))));
        assert_eq!(refused("http://a/23456789?", 0, 0), Some((414, uri(11))));
        let fields = "3 header fields, at most 2 are allowed".to_owned();
        assert_eq!(refused("/", 3, 0), Some((431, fields)));
        let size = "65537 bytes of header fields, at most 65536 are allowed".to_owned();
        assert_eq!(refused("/", 1, 65_532), Some((431, size)));
    }
}
