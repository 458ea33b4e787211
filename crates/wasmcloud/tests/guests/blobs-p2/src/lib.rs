//! `/run?SCRIPT`: commands with `;` between them, a line of answer for each. A command is words with commas between them; one that
//! begins with `@` goes to the store with the label.
//!
//! `create,C` `open,C` `exists,C` `delete,C` `put,C,O,TEXT` `late,C,O,TEXT` (written before it is known where it goes)
//! `leave,C,O,TEXT` (never finished) `get,C,O,FROM,TO` (what is no number is the largest one) `all,C,O` (at once) `list,C` `rm,C,O,O…`
//! `has,C,O` `size,C,O` `info,C,O` `clear,C` `copy,C,O,C,O` `move,C,O,C,O` `fill,C,O,MIB` `sum,C,O` `name,C,LENGTH` (a name of so many
//! bytes) `over,C,O,MIB` (what is read of the object when everything was written over it, and not finished yet; its bytes tell their
//! places) `places,C,O,FROM,TO` (how many bytes of it came, and how many of them are not in their place)

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use wasi::blobstore::container::Container;
use wasi::blobstore::types::{IncomingValue, ObjectId, OutgoingValue};
use wasi::io::streams::{OutputStream, StreamError};

wit_bindgen::generate!({ path: "../wit", world: "blobs-p2", generate_all });

/// How much is written and read at once.
const PIECE: usize = 1 << 16;

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_, script) = reply::target(&request);
        // No URL has this letter in clear.
        let script = script.replace("%00", "\0");
        let mut lines = String::new();
        for command in script.split(';') {
            let answer = run(command).unwrap_or_else(|error| format!("error: {error}"));
            lines += &answer;
            lines.push('\n');
        }
        reply::text(out, &lines);
    }
}

fn run(command: &str) -> Result<String, String> {
    let (archive, command) = match command.strip_prefix('@') {
        Some(command) => (true, command),
        None => (false, command),
    };
    let words: Vec<&str> = command.split(',').collect();
    macro_rules! store {
        ($function:ident($($argument:expr),*)) => {
            if archive {
                archive::$function($($argument),*)
            } else {
                wasi::blobstore::blobstore::$function($($argument),*)
            }
        };
    }
    let container = |name: &str| store!(get_container(name));
    let done = |done: Result<(), String>| done.map(|()| "ok".to_owned());
    match words[..] {
        ["create", c] => store!(create_container(c))?.name(),
        ["open", c] => container(c)?
            .info()
            .map(|info| format!("{} {}", info.name, info.created_at > 1_700_000_000)),
        ["exists", c] => store!(container_exists(c)).map(|it| it.to_string()),
        ["delete", c] => done(store!(delete_container(c))),
        ["put", c, o, text] => done(put(&container(c)?, o, text, false)),
        ["late", c, o, text] => done(put(&container(c)?, o, text, true)),
        ["leave", c, o, text] => {
            let value = OutgoingValue::new_outgoing_value();
            container(c)?.write_data(o, &value)?;
            let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
            write(&body, text.as_bytes()).map_err(|error| format!("{error:?}"))?;
            Ok("left".to_owned())
        }
        ["get", c, o, from, to] => {
            let value = container(c)?.get_data(o, number(from), number(to))?;
            let size = value.size();
            let mut bytes = Vec::new();
            read(value, |piece| bytes.extend_from_slice(piece))?;
            assert_eq!(size, bytes.len() as u64);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ["all", c, o] => all(&container(c)?, o),
        ["list", c] => list(&container(c)?),
        ["rm", c, o] => done(container(c)?.delete_object(o)),
        ["rm", c, ref names @ ..] => {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            done(container(c)?.delete_objects(&names))
        }
        ["has", c, o] => container(c)?.has_object(o).map(|it| it.to_string()),
        ["size", c, o] => container(c)?
            .object_info(o)
            .map(|info| info.size.to_string()),
        ["info", c, o] => container(c)?.object_info(o).map(|info| {
            let recent = info.created_at > 1_700_000_000;
            format!("{} {} {} {recent}", info.name, info.container, info.size)
        }),
        ["clear", c] => done(container(c)?.clear()),
        ["copy", c, o, to, name] => done(store!(copy_object(&id(c, o), &id(to, name)))),
        ["move", c, o, to, name] => done(store!(move_object(&id(c, o), &id(to, name)))),
        ["fill", c, o, mib] => fill(&container(c)?, o, number(mib)),
        ["sum", c, o] => sum(&container(c)?, o),
        ["over", c, o, mib] => over(&container(c)?, o, number(mib)),
        ["places", c, o, from, to] => places(&container(c)?, o, number(from), number(to)),
        ["name", c, length] => {
            let name = "n".repeat(number(length) as usize);
            done(put(&container(c)?, &name, "x", false))
        }
        _ => Err(format!("no such command: {command}")),
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

fn put(container: &Container, name: &str, text: &str, late: bool) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    if !late {
        container.write_data(name, &value)?;
    }
    let written = write(&body, text.as_bytes());
    drop(body);
    if late {
        container.write_data(name, &value)?;
    }
    OutgoingValue::finish(value)?;
    written.map_err(|error| format!("{error:?}"))
}

/// All bytes together.
fn sum(container: &Container, name: &str) -> Result<String, String> {
    let value = container.get_data(name, 0, u64::MAX)?;
    let mut sum = 0;
    read(value, |piece| {
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>()
    })?;
    Ok(sum.to_string())
}

/// How many bytes come, and how many of them are not in their place.
fn places(container: &Container, name: &str, from: u64, to: u64) -> Result<String, String> {
    let value = container.get_data(name, from, to)?;
    let (mut place, mut wrong) = (from, 0);
    read(value, |piece| wrong += misplaced(&mut place, piece))?;
    Ok(format!("{} {wrong}", place - from))
}

/// At once.
fn all(container: &Container, name: &str) -> Result<String, String> {
    let value = container.get_data(name, 0, u64::MAX)?;
    let bytes = IncomingValue::incoming_value_consume_sync(value)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn fill(container: &Container, name: &str, mib: u64) -> Result<String, String> {
    let value = pour(container, name, mib, |_| vec![1; PIECE])?;
    OutgoingValue::finish(value)?;
    Ok("ok".to_owned())
}

fn over(container: &Container, name: &str, mib: u64) -> Result<String, String> {
    let value = pour(container, name, mib, |place| pattern(place, PIECE))?;
    let found = match container.has_object(name)? {
        true => all(container, name)?,
        false => "nothing".to_owned(),
    };
    OutgoingValue::finish(value)?;
    Ok(found)
}

/// Writes so many MiB, each piece as its place wants it, and leaves it to others to finish it, which says what went wrong.
fn pour(
    container: &Container,
    name: &str,
    mib: u64,
    piece: impl Fn(u64) -> Vec<u8>,
) -> Result<OutgoingValue, String> {
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    container.write_data(name, &value)?;
    for index in 0..mib * 16 {
        if write(&body, &piece(index * PIECE as u64)).is_err() {
            break;
        }
    }
    Ok(value)
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

/// Writes all of `bytes`, waiting whenever the host takes no more for now.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

fn read(value: IncomingValue, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let stream = IncomingValue::incoming_value_consume_async(value)?;
    loop {
        match stream.blocking_read(PIECE as u64) {
            Ok(piece) => take(&piece),
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

/// By twos, passing over none.
fn list(container: &Container) -> Result<String, String> {
    let stream = container.list_objects()?;
    let mut names = Vec::new();
    if let (skipped @ 1.., _) = stream.skip_stream_object_names(0)? {
        return Err(format!("{skipped} were passed over"));
    }
    loop {
        let (more, last) = stream.read_stream_object_names(2)?;
        names.extend(more);
        if last {
            names.sort();
            return Ok(names.join(" "));
        }
    }
}

wasip2::http::proxy::export!(Handler with_types_in wasip2);
