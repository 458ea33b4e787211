//! Takes tasks over HTTP and queues them. It does none of them: whoever asks is answered at once, however long a task takes.

wit_bindgen::generate!({ path: "../wit", world: "api", generate_all });

use wasi::keyvalue::{atomics, store};
use wasmcloud::messaging::consumer;
use wasmcloud::messaging::types::BrokerMessage;
use wstd::http::{Body, Method, Request, Response, Result, StatusCode};

/// Where is written down what became of tasks: by each number what to do, how often it was tried and what came of it.
const BUCKET: &str = "tasks";
/// What the worker has subscribed to.
const SUBJECT: &str = "tasks.new";

/// `POST /tasks` takes a task, `GET /tasks` tells what became of all of them, and so does `GET /`.
#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match (method, path.as_str()) {
        (Method::POST, "/tasks") => {
            let what = request.body_mut().str_contents().await?.trim().to_owned();
            if what.is_empty() || what.contains('\n') {
                return answer(
                    StatusCode::BAD_REQUEST,
                    "What is to be done, in one line?\n",
                );
            }
            match take(&what) {
                Ok(number) => answer(StatusCode::ACCEPTED, &format!("task {number} is queued\n")),
                Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
            }
        }
        (Method::GET, "/" | "/tasks") => match list() {
            Ok(list) => answer(StatusCode::OK, &list),
            Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
        },
        _ => answer(StatusCode::NOT_FOUND, "POST /tasks or GET /tasks\n"),
    }
}

fn answer(status: StatusCode, text: &str) -> Result<Response<Body>> {
    let text = text.to_owned();
    Ok(Response::builder().status(status).body(text.into())?)
}

/// Writes a task down and queues it. When this returns, the queue has it.
fn take(what: &str) -> std::result::Result<u64, String> {
    let bucket = store::open(BUCKET).map_err(told)?;
    let number = atomics::increment(&bucket, "last", 1).map_err(told)?;
    let key = format!("{number}/what");
    bucket.set(&key, what.as_bytes()).map_err(told)?;
    let queued = consumer::publish(&BrokerMessage {
        subject: SUBJECT.to_owned(),
        body: format!("{number} {what}").into_bytes(),
        reply_to: None,
    });
    if let Err(error) = queued {
        bucket.delete(&key).map_err(told)?;
        return Err(format!("the task was not queued: {error}"));
    }
    Ok(number)
}

/// A line for each task.
fn list() -> std::result::Result<String, String> {
    let bucket = store::open(BUCKET).map_err(told)?;
    let (mut numbers, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor).map_err(told)?;
        let tasks = page.keys.iter().filter_map(|key| key.strip_suffix("/what"));
        numbers.extend(tasks.filter_map(|number| number.parse::<u64>().ok()));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    numbers.sort_unstable();
    let read = |number: u64, key: &str| -> std::result::Result<Option<String>, String> {
        let value = bucket.get(&format!("{number}/{key}")).map_err(told)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    };
    let mut lines = String::new();
    for number in numbers {
        let what = read(number, "what")?.unwrap_or_default();
        let tries = atomics::increment(&bucket, &format!("{number}/tries"), 0).map_err(told)?;
        let state = read(number, "state")?;
        lines += &line(number, &what, tries, state.as_deref());
    }
    Ok(lines)
}

fn line(number: u64, what: &str, tries: u64, state: Option<&str>) -> String {
    let state = state.unwrap_or("waits");
    let tries = match tries {
        0 => String::new(),
        1 => " after 1 try".to_owned(),
        tries => format!(" after {tries} tries"),
    };
    format!("{number} {what}: {state}{tries}\n")
}

fn told(error: store::Error) -> String {
    format!("the list of tasks is not to be had: {error:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_in_words() {
        assert_eq!(line(1, "rest", 0, None), "1 rest: waits\n");
        assert_eq!(
            line(2, "rest", 1, Some("done")),
            "2 rest: done after 1 try\n"
        );
        assert_eq!(
            line(3, "rest", 4, Some("given up")),
            "3 rest: given up after 4 tries\n"
        );
    }
}
