//! Counts visits. An instance lives for one request, so what has to last is kept as keys and values.

wit_bindgen::generate!({ path: "wit", world: "kv-counter", generate_all });

use wasi::keyvalue::{atomics, store};
use wstd::http::{Body, Method, Request, Response, Result, StatusCode};

/// Where the counters are. A workload has as many buckets as it likes, and sees no other's.
const BUCKET: &str = "visits";

/// `GET` any path counts a visit to it; `DELETE` begins anew; `GET /?` lists all paths that were visited.
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let uri = request.uri();
    let done = match (request.method(), uri.query()) {
        (&Method::GET, Some(_)) => list(),
        (&Method::GET, None) => visit(uri.path()),
        (&Method::DELETE, _) => forget(uri.path()),
        _ => return answer(StatusCode::METHOD_NOT_ALLOWED, "GET or DELETE\n".to_owned()),
    };
    match done {
        Ok(text) => answer(StatusCode::OK, text),
        Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error:?}\n")),
    }
}

fn answer(status: StatusCode, text: String) -> Result<Response<Body>> {
    Ok(Response::builder().status(status).body(text.into())?)
}

/// Many may visit at once: `increment` lets no visit get lost, as reading, adding and writing would.
fn visit(path: &str) -> std::result::Result<String, store::Error> {
    let bucket = store::open(BUCKET)?;
    let visits = atomics::increment(&bucket, path, 1)?;
    Ok(format!("{}\n", words(path, visits)))
}

fn forget(path: &str) -> std::result::Result<String, store::Error> {
    store::open(BUCKET)?.delete(path)?;
    Ok(format!("{path} was never visited\n"))
}

/// Page by page, as there may be many.
fn list() -> std::result::Result<String, store::Error> {
    let bucket = store::open(BUCKET)?;
    let (mut paths, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor)?;
        paths.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(|path| path + "\n").collect())
}

fn words(path: &str, visits: u64) -> String {
    match visits {
        1 => format!("{path} was visited once"),
        visits => format!("{path} was visited {visits} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_told_in_words() {
        assert_eq!(words("/", 1), "/ was visited once");
        assert_eq!(words("/a", 2), "/a was visited 2 times");
    }
}
