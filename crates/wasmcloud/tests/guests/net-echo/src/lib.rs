//! A server on the port `PORT` of 127.0.0.1, one connection after another. Its first byte says what a connection is for: `e`, and all
//! that follows is sent back; `s`, and all that follows is counted until it ends, and the count is sent.
//!
//! With `HOLD`, it accepts so many connections and keeps them until it is asked to end. Without `PORT`, it does nothing until then.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

struct Server;

impl wasip2::exports::cli::run::Guest for Server {
    fn run() -> Result<(), ()> {
        let done = match (number("PORT"), number("HOLD")) {
            (None, _) => stay(),
            (Some(port), None) => serve(port),
            (Some(port), Some(count)) => hold(port, count),
        };
        done.map_err(|error| eprintln!("{error}"))
    }
}

fn number(variable: &str) -> Option<u16> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Goes on until nothing more will come.
fn stay() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    loop {
        let (connection, _) = listener.accept()?;
        // A client that goes away is no reason to end.
        if let Err(error) = answer(connection) {
            eprintln!("a connection failed: {error}");
        }
    }
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    let mut kind = [0];
    connection.read_exact(&mut kind)?;
    let mut buffer = vec![0; 64 << 10];
    let mut count: u64 = 0;
    loop {
        let bytes = match connection.read(&mut buffer)? {
            0 => break,
            length => &buffer[..length],
        };
        match kind {
            [b'e'] => connection.write_all(bytes)?,
            _ => count += bytes.len() as u64,
        }
    }
    match kind {
        [b'e'] => Ok(()),
        _ => connection.write_all(&count.to_le_bytes()),
    }
}

fn hold(port: u16, count: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let before = core::arch::wasm32::memory_size(0);
    let mut held = Vec::with_capacity(count.into());
    for _ in 0..count {
        held.push(listener.accept()?.0);
    }
    let after = core::arch::wasm32::memory_size(0);
    println!("held {} {before} {after}", held.len());
    stay()
}

wasip2::cli::command::export!(Server with_types_in wasip2);
