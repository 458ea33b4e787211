//! `/run?SCRIPT`: the answer is a line for each command. The commands are those of the guest `blobs-p2`, through
//! `wasmcloud:blobstore`.

use wasi::http0_3_0::types::{ErrorCode, Fields, Request, Response};
use wasmcloud::blobstore::container::Container;
use wasmcloud::blobstore::types::{Error, ObjectId};
use wit_bindgen::{StreamReader, StreamResult, spawn_local};

wit_bindgen::generate!({ path: "../wit", world: "blobs-p3", generate_all });

struct Handler;

impl exports::wasi::http0_3_0::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, script) = target.split_once('?').unwrap_or((&target, ""));
        // No URL has this letter in clear.
        let script = script.replace("%00", "\0");
        let mut lines = String::new();
        for command in script.split(';') {
            let answer = run(command).await;
            lines += &answer.unwrap_or_else(|error| format!("error: {}", words(&error)));
            lines.push('\n');
        }
        Ok(text(lines))
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::Other(words) => words.clone(),
        error => format!("{error:?}").replace("Error::", ""),
    }
}

async fn run(command: &str) -> Result<String, Error> {
    let (archive, command) = match command.strip_prefix('@') {
        Some(command) => (true, command),
        None => (false, command),
    };
    let words: Vec<&str> = command.split(',').collect();
    macro_rules! store {
        ($function:ident($($argument:expr),*)) => {
            if archive {
                archive::$function($($argument),*).await
            } else {
                wasmcloud::blobstore::blobstore::$function($($argument),*).await
            }
        };
    }
    let container = async |name: &str| store!(get_container(name.to_owned()));
    let done = |done: Result<(), Error>| done.map(|()| "ok".to_owned());
    match words[..] {
        ["create", c] => store!(create_container(c.to_owned()))?.name().await,
        ["open", c] => {
            let info = container(c).await?.info().await?;
            let recent = info.created_at > 1_700_000_000_000_000_000;
            Ok(format!("{} {recent}", info.name))
        }
        ["exists", c] => store!(container_exists(c.to_owned())).map(|it| it.to_string()),
        ["delete", c] => done(store!(delete_container(c.to_owned()))),
        ["put" | "late", c, o, text] => done(put(container(c).await?, o, text).await),
        ["get", c, o, from, to] => {
            let container = container(c).await?;
            let stream = container
                .get_data(o.to_owned(), number(from), number(to))
                .await?;
            Ok(String::from_utf8_lossy(&stream.collect().await).into_owned())
        }
        ["all", c, o] => {
            let stream = container(c)
                .await?
                .get_data(o.to_owned(), 0, u64::MAX)
                .await?;
            Ok(String::from_utf8_lossy(&stream.collect().await).into_owned())
        }
        ["list", c] => {
            let mut names = container(c).await?.list_objects().await?.collect().await;
            names.sort();
            Ok(names.join(" "))
        }
        ["rm", c, o] => done(container(c).await?.delete_object(o.to_owned()).await),
        ["rm", c, ref names @ ..] => {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            done(container(c).await?.delete_objects(names).await)
        }
        ["has", c, o] => {
            let has = container(c).await?.has_object(o.to_owned()).await;
            has.map(|it| it.to_string())
        }
        ["size", c, o] => {
            let info = container(c).await?.object_info(o.to_owned()).await;
            info.map(|info| info.size.to_string())
        }
        ["clear", c] => done(container(c).await?.clear().await),
        ["copy", c, o, to, name] => done(store!(copy_object(id(c, o), id(to, name)))),
        ["move", c, o, to, name] => done(store!(move_object(id(c, o), id(to, name)))),
        ["fill", c, o, mib] => done(fill(container(c).await?, o, number(mib)).await),
        ["sum", c, o] => {
            let stream = container(c)
                .await?
                .get_data(o.to_owned(), 0, u64::MAX)
                .await?;
            Ok(sum(stream).await.to_string())
        }
        ["name", c, length] => {
            let name = "n".repeat(number(length) as usize);
            let (writer, reader) = wit_stream::new::<u8>();
            drop(writer);
            done(container(c).await?.write_data(name, reader).await)
        }
        _ => Err(Error::Other(format!("no such command: {command}"))),
    }
}

async fn put(container: Container, name: &str, text: &str) -> Result<(), Error> {
    let (mut writer, reader) = wit_stream::new();
    let text = text.as_bytes().to_vec();
    spawn_local(async move { drop(writer.write_all(text).await) });
    container.write_data(name.to_owned(), reader).await
}

async fn fill(container: Container, name: &str, mib: u64) -> Result<(), Error> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for _ in 0..mib * 16 {
            if !writer.write_all(vec![1; 1 << 16]).await.is_empty() {
                return;
            }
        }
    });
    container.write_data(name.to_owned(), reader).await
}

async fn sum(mut stream: StreamReader<u8>) -> u64 {
    let (mut sum, mut buffer) = (0, Vec::with_capacity(1 << 16));
    loop {
        let (result, mut piece) = stream.read(buffer).await;
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        if result == StreamResult::Dropped {
            return sum;
        }
        piece.clear();
        buffer = piece;
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    }
}

fn text(body: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    spawn_local(async move { drop(writer.write_all(body.into_bytes()).await) });
    response
}

export!(Handler);
