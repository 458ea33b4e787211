//! Lets requests through that carry the right token, and answers the others itself. The handler behind it has no
//! part in this: it neither sees the token nor knows that somebody stands in front of it.

wit_bindgen::generate!({ path: "wit", world: "auth", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::incoming_handler::handle as next;
use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Auth;

impl Guest for Auth {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let expected = std::env::var("API_TOKEN").ok();
        let given = request.headers().get("authorization");
        match check(expected.as_deref(), &given) {
            // Request and response pass by untouched, however long their bodies are.
            Verdict::Pass => next(request, out),
            Verdict::Deny => {
                let challenge = ("www-authenticate", r#"Bearer realm="api""#);
                answer(out, 401, &[challenge], "A token is needed.\n");
            }
            Verdict::NotSetUp => {
                eprintln!("API_TOKEN is not set: nobody can be let in");
                answer(out, 500, &[], "This service is not set up.\n");
            }
        }
    }
}

export!(Auth);

/// What to do with a request.
#[derive(Debug, PartialEq)]
enum Verdict {
    Pass,
    Deny,
    NotSetUp,
}

/// Compares the `authorization` headers of a request with the token that lets it in.
fn check(expected: Option<&str>, given: &[Vec<u8>]) -> Verdict {
    let Some(expected) = expected.filter(|token| !token.is_empty()) else {
        return Verdict::NotSetUp;
    };
    match given {
        [header] if bearer(header).is_some_and(|token| same(token, expected.as_bytes())) => {
            Verdict::Pass
        }
        _ => Verdict::Deny,
    }
}

/// The token in `Bearer <token>`. The scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether two tokens are the same, looking at every byte: the time it takes must not tell how many of them are right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |differences, (a, b)| differences | (a ^ b))
            == 0
}

/// Answers with a short text.
fn answer(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], text: &str) {
    let (response, body) = match head(status, headers) {
        Ok(parts) => parts,
        Err(error) => {
            return ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(error))));
        }
    };
    // The head goes first: a body is only taken once somebody has the response.
    ResponseOutparam::set(out, Ok(response));
    let Ok(stream) = body.write() else { return };
    let written = stream.blocking_write_and_flush(text.as_bytes());
    // A stream belongs to its body, so it has to go before the body is finished.
    drop(stream);
    // When the client is gone there is nobody left to tell.
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Result<(OutgoingResponse, OutgoingBody), String> {
    let fields = Fields::new();
    for (name, value) in headers
        .iter()
        .chain(&[("content-type", "text/plain; charset=utf-8")])
    {
        fields
            .append(name, value.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    let response = OutgoingResponse::new(fields);
    response
        .set_status_code(status)
        .map_err(|()| format!("{status} is not a status"))?;
    let body = response
        .body()
        .map_err(|()| "the body is taken".to_owned())?;
    Ok((response, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(headers: &[&str]) -> Verdict {
        let headers: Vec<Vec<u8>> = headers
            .iter()
            .map(|header| header.as_bytes().to_vec())
            .collect();
        check(Some("s3cret"), &headers)
    }

    #[test]
    fn the_right_token_passes() {
        assert_eq!(verdict(&["Bearer s3cret"]), Verdict::Pass);
        assert_eq!(verdict(&["bearer s3cret"]), Verdict::Pass);
    }

    #[test]
    fn everything_else_is_denied() {
        for headers in [
            &[][..],
            &["s3cret"],
            &["Basic s3cret"],
            &["Bearer s3cre"],
            &["Bearer s3cret", "Bearer other"],
        ] {
            assert_eq!(verdict(headers), Verdict::Deny, "{headers:?}");
        }
    }

    #[test]
    fn without_a_token_to_compare_with_nobody_passes() {
        assert_eq!(check(None, &[b"Bearer ".to_vec()]), Verdict::NotSetUp);
        assert_eq!(check(Some(""), &[b"Bearer ".to_vec()]), Verdict::NotSetUp);
    }
}
