//! Responses, from a plain text to a body that a task of its own writes.

use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::wit_bindgen::{FutureWriter, StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

/// What ends a body: trailers, or the reason why it broke off.
pub type End = FutureWriter<Result<Option<Fields>, ErrorCode>>;

/// Status 200 and a text.
pub fn text(body: &str) -> Response {
    with_status(200, body)
}

/// A text with any status.
pub fn with_status(status: u16, body: &str) -> Response {
    let bytes = body.as_bytes().to_vec();
    let response = streamed(
        &[("content-type", "text/plain; charset=utf-8")],
        async move |mut body, end| {
            body.write_all(bytes).await;
            finish(body, end, None).await;
        },
    );
    response.set_status_code(status).expect("a valid status");
    response
}

/// A response whose body `write` produces after the head has gone out.
pub fn streamed<F>(headers: &[(&str, &str)], write: F) -> Response
where
    F: AsyncFnOnce(StreamWriter<u8>, End) + 'static,
{
    let fields = Fields::new();
    for (name, value) in headers {
        fields
            .append(name, value.as_bytes())
            .expect("a valid header");
    }
    let (body, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| {
        Err(ErrorCode::InternalError(Some(
            "the body broke off".to_owned(),
        )))
    });
    let (response, _sent) = Response::new(fields, Some(contents), trailers);
    spawn_local(async move { write(body, end).await });
    response
}

/// Ends a body well.
pub async fn finish(body: StreamWriter<u8>, end: End, trailers: Option<Fields>) {
    drop(body);
    // Nobody listens any more when the client is gone.
    let _ = end.write(Ok(trailers)).await;
}
