//! The way in: reads a name and a language from the URL and answers with what the greeter says.

use wstd::http::{Body, Request, Response, Result, StatusCode};

// Makes a Rust function of every function that the world imports.
wit_bindgen::generate!({ path: "../wit", world: "front", generate_all });

use demo::greet::greeter;

/// Called for every request.
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let query = request.uri().query().unwrap_or_default();
    let name = param(query, "name").unwrap_or_else(|| "World".to_owned());
    let lang = param(query, "lang").unwrap_or_else(|| "en".to_owned());
    // A call into another component. It looks like a function call, and costs about as much.
    let (status, text) = match greeter::greet(&name, &lang) {
        Ok(greeting) => (StatusCode::OK, format!("{greeting}\n")),
        Err(known) => (
            StatusCode::NOT_FOUND,
            format!("No such language. There are: {}\n", known.join(", ")),
        ),
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(text.into())?)
}

/// The value of `key` in a query string.
fn param(query: &str, key: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
}

/// Undoes URL encoding: `+` is a space and `%41` is the byte 0x41. What is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = if first == b'%' {
            after.split_at_checked(2)
        } else {
            None
        };
        match escaped.and_then(|(digits, after)| Some((hex(digits)?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that two hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u8> {
    let valid = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| valid)?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        assert_eq!(param("name=Ada&lang=de", "lang").as_deref(), Some("de"));
        assert_eq!(
            param("name=Ada+L%C3%B6w", "name").as_deref(),
            Some("Ada Löw")
        );
        assert_eq!(param("name=Ada", "lang"), None);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%+1"), "%zz% 1");
    }
}
