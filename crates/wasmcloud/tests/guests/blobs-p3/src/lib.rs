//! `/run?SCRIPT`: the answer is a line for each command. The commands are those of the guest `blobs-p2`, through
//! `wasmcloud:blobstore`.

use futures_util::future::join;
use wasi::http0_3_0::types::{ErrorCode, Fields, Request, Response};
use wasmcloud::blobstore::container::Container;
use wasmcloud::blobstore::types::{Error, ObjectId};
use wit_bindgen::{StreamReader, StreamResult, spawn_local};

wit_bindgen::generate!({ path: "../wit", world: "blobs-p3", generate_all });

/// How much is written and read at once.
const PIECE: usize = 1 << 16;

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
            read_text(&container, o, number(from), number(to)).await
        }
        ["all", c, o] => all(&container(c).await?, o).await,
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
        ["info", c, o] => {
            let info = container(c).await?.object_info(o.to_owned()).await?;
            let recent = info.created_at > 1_700_000_000_000_000_000;
            let told = format!("{} {} {} {recent}", info.name, info.container, info.size);
            Ok(told)
        }
        ["clear", c] => done(container(c).await?.clear().await),
        ["copy", c, o, to, name] => done(store!(copy_object(id(c, o), id(to, name)))),
        ["move", c, o, to, name] => done(store!(move_object(id(c, o), id(to, name)))),
        ["fill", c, o, mib] => done(fill(&container(c).await?, o, number(mib)).await),
        ["sum", c, o] => sum(&container(c).await?, o).await,
        ["over", c, o, mib] => over(&container(c).await?, o, number(mib)).await,
        ["places", c, o, from, to] => {
            places(&container(c).await?, o, number(from), number(to)).await
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

/// All bytes together.
async fn sum(container: &Container, name: &str) -> Result<String, Error> {
    let stream = container.get_data(name.to_owned(), 0, u64::MAX).await?;
    let mut sum = 0;
    read(stream, |piece| {
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>()
    })
    .await;
    Ok(sum.to_string())
}

/// How many bytes come, and how many of them are not in their place.
async fn places(container: &Container, name: &str, from: u64, to: u64) -> Result<String, Error> {
    let stream = container.get_data(name.to_owned(), from, to).await?;
    let (mut place, mut wrong) = (from, 0);
    read(stream, |piece| wrong += misplaced(&mut place, piece)).await;
    Ok(format!("{} {wrong}", place - from))
}

async fn read_text(container: &Container, name: &str, from: u64, to: u64) -> Result<String, Error> {
    let stream = container.get_data(name.to_owned(), from, to).await?;
    Ok(String::from_utf8_lossy(&stream.collect().await).into_owned())
}

async fn all(container: &Container, name: &str) -> Result<String, Error> {
    read_text(container, name, 0, u64::MAX).await
}

async fn fill(container: &Container, name: &str, mib: u64) -> Result<(), Error> {
    pour(container, name, mib, |_| vec![1; PIECE], async {}).await
}

async fn over(container: &Container, name: &str, mib: u64) -> Result<String, Error> {
    let found = async {
        match container.has_object(name.to_owned()).await? {
            true => all(container, name).await,
            false => Ok("nothing".to_owned()),
        }
    };
    let piece = |place| pattern(place, PIECE);
    pour(container, name, mib, piece, found).await?
}

/// Writes so many MiB, each piece as its place wants it, and does something else before it is finished.
async fn pour<T>(
    container: &Container,
    name: &str,
    mib: u64,
    piece: impl Fn(u64) -> Vec<u8>,
    before_the_end: impl Future<Output = T>,
) -> Result<T, Error> {
    let (mut writer, reader) = wit_stream::new();
    let pouring = async {
        for index in 0..mib * 16 {
            let left = writer.write_all(piece(index * PIECE as u64)).await;
            if !left.is_empty() {
                break;
            }
        }
        let done = before_the_end.await;
        drop(writer);
        done
    };
    let writing = container.write_data(name.to_owned(), reader);
    let (written, done) = join(writing, pouring).await;
    written.map(|()| done)
}

/// Bytes that tell their places.
fn pattern(from: u64, length: usize) -> Vec<u8> {
    let places = (from..).take(length);
    places.map(|place| (place % 251) as u8).collect()
}

/// How many bytes of a piece are not in their place, which goes on behind it.
fn misplaced(place: &mut u64, piece: &[u8]) -> usize {
    let wanted = pattern(*place, piece.len());
    *place += piece.len() as u64;
    let both = wanted.iter().zip(piece);
    both.filter(|(wanted, found)| wanted != found).count()
}

async fn read(mut stream: StreamReader<u8>, mut take: impl FnMut(&[u8])) {
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        let (result, mut piece) = stream.read(buffer).await;
        take(&piece);
        if result == StreamResult::Dropped {
            return;
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
