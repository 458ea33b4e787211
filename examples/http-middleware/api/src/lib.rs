//! An api that trusts whoever gets through to it. It says whether it can see the token, to show that it cannot.

use wstd::http::{Body, Request, Response, Result, StatusCode};

/// Called for every request that `auth` lets through.
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let (status, json) = route(request.uri().path(), std::env::var("API_TOKEN").is_ok());
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    Ok(response.body(json.into())?)
}

/// What to answer on a path.
fn route(path: &str, token_visible: bool) -> (StatusCode, String) {
    match path {
        "/" => (
            StatusCode::OK,
            format!("{{\"message\":\"You are in.\",\"tokenVisible\":{token_visible}}}\n"),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "{\"error\":\"not found\"}\n".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_answers_json() {
        assert_eq!(
            route("/", false).1,
            "{\"message\":\"You are in.\",\"tokenVisible\":false}\n"
        );
    }

    #[test]
    fn every_other_path_is_not_found() {
        assert_eq!(route("/nowhere", false).0, StatusCode::NOT_FOUND);
    }
}
