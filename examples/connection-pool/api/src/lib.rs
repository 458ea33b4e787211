//! The way in: notes over HTTP, kept in PostgreSQL. An instance lives for one request; the connections to the database live in the
//! service of the workload.

use protocol::{Answer, Query, ask};
use wstd::http::{Body, Method, Request, Response, Result, StatusCode};

/// The longest note, in bytes.
const LONGEST: usize = 64 << 10;

/// Called for every request.
#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>> {
    let query = match (request.method(), request.uri().path()) {
        (&Method::GET, "/notes") => query("SELECT id, text FROM notes ORDER BY id", []),
        (&Method::POST, "/notes") => {
            let text = request.body_mut().contents().await?;
            let Some(text) = note(text) else {
                return reply(
                    StatusCode::BAD_REQUEST,
                    "A note is a text of up to 64 KiB.\n",
                );
            };
            query(
                "INSERT INTO notes (text) VALUES ($1) RETURNING id, text",
                [text],
            )
        }
        _ => {
            return reply(
                StatusCode::NOT_FOUND,
                "There is /notes: GET them, or POST one.\n",
            );
        }
    };
    match ask(&query).await {
        Ok(Answer::Rows(rows)) => reply(StatusCode::OK, lines(&rows)),
        Ok(Answer::Refused { code, message }) => {
            // What the database says is for the log rather than for the world.
            eprintln!("refused with {code}: {message}");
            reply(StatusCode::INTERNAL_SERVER_ERROR, "That went wrong.\n")
        }
        Ok(Answer::Unavailable(reason)) => unavailable(&reason),
        // Between a crash of the service and its restart nobody listens.
        Err(error) => unavailable(&error.to_string()),
    }
}

fn query<const N: usize>(sql: &str, values: [String; N]) -> Query {
    Query {
        sql: sql.to_owned(),
        values: values.into(),
    }
}

/// A text that PostgreSQL can keep: not too long, and without the one character that it has no room for.
fn note(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?.trim_end();
    let fits = text.len() <= LONGEST && !text.is_empty() && !text.contains('\0');
    fits.then(|| text.to_owned())
}

/// A line for each row.
fn lines(rows: &[Vec<Option<String>>]) -> String {
    let line = |row: &Vec<Option<String>>| {
        let columns: Vec<&str> = row
            .iter()
            .map(|text| text.as_deref().unwrap_or("-"))
            .collect();
        format!("{}\n", columns.join(" "))
    };
    rows.iter().map(line).collect()
}

fn unavailable(reason: &str) -> Result<Response<Body>> {
    eprintln!("unavailable: {reason}");
    let response = Response::builder()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header("retry-after", "1");
    Ok(response.body("The database is not available.\n".into())?)
}

fn reply(status: StatusCode, body: impl Into<Body>) -> Result<Response<Body>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(body.into())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_texts_that_fit() {
        assert_eq!(note(b"milk\n").as_deref(), Some("milk"));
        for bytes in [&b""[..], b"a\0b", b"\xff", &[b'x'; LONGEST + 1]] {
            assert_eq!(note(bytes), None);
        }
    }

    #[test]
    fn rows_become_lines() {
        let rows = [vec![Some("1".to_owned()), None]];
        assert_eq!(lines(&rows), "1 -\n");
    }
}
