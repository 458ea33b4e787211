//! A file server over `wasi:blobstore`: a page to upload, list, download and delete, and the same for programs.

mod files;
mod page;

use wstd::http::{Body, Method, Request, Response, Result, StatusCode};

wit_bindgen::generate!({ path: "wit", world: "blobby", generate_all });

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let answer = match (request.method(), page::name_of(&path)) {
        (&Method::GET, _) if path == "/" => index(),
        (&Method::GET, Some(name)) => download(&name),
        (&Method::PUT, Some(name)) => files::put(&name, request.into_body())
            .await
            .map(|()| text(StatusCode::CREATED, "It is kept.\n")),
        (&Method::DELETE, Some(name)) => {
            files::delete(&name).map(|()| text(StatusCode::OK, "It is gone.\n"))
        }
        _ => Ok(text(StatusCode::NOT_FOUND, "There is nothing here.\n")),
    };
    // The host says what went wrong in words that are fit for strangers.
    Ok(answer.unwrap_or_else(|error| text(StatusCode::BAD_GATEWAY, &format!("{error}\n"))))
}

fn index() -> files::Outcome<Response<Body>> {
    let mut response = text(StatusCode::OK, &page::index(&files::all()?));
    let html = "text/html; charset=utf-8".parse();
    response
        .headers_mut()
        .extend(html.map(|html| (CONTENT_TYPE, html)));
    Ok(response)
}

const CONTENT_TYPE: wstd::http::HeaderName = wstd::http::HeaderName::from_static("content-type");

fn download(name: &str) -> files::Outcome<Response<Body>> {
    match files::get(name)? {
        Some(body) => Ok(Response::new(body)),
        None => Ok(text(StatusCode::NOT_FOUND, "There is no such file.\n")),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(text.to_owned().into());
    *response.status_mut() = status;
    response
}
