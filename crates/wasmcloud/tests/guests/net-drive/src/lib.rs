//! The client of the network's measurements. It takes the time itself, so that entering the guest and connecting do not count.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use exports::bench::network::drive::Guest;

wit_bindgen::generate!({ path: "../wit", world: "net-drive", generate_all });

struct Client;

/// Rounds before the time is taken.
const WARM_UP: u32 = 1000;

impl Guest for Client {
    fn ping_pong(port: u16, rounds: u32) -> Result<u64, String> {
        let told = |error: io::Error| format!("no answer: {error}");
        let mut connection = connect(port, b"e")?;
        let mut trip = |number: u32| -> io::Result<()> {
            let ping = [number as u8; 64];
            let mut pong = [0; 64];
            connection.write_all(&ping)?;
            connection.read_exact(&mut pong)?;
            match pong == ping {
                true => Ok(()),
                false => Err(io::Error::other("it is not what was sent")),
            }
        };
        (0..WARM_UP.min(rounds))
            .try_for_each(&mut trip)
            .map_err(told)?;
        let begun = Instant::now();
        (0..rounds).try_for_each(&mut trip).map_err(told)?;
        Ok(nanoseconds(begun))
    }

    fn bulk(port: u16, bytes: u64) -> Result<u64, String> {
        let told = |error: io::Error| format!("not sent: {error}");
        let mut connection = connect(port, b"s")?;
        let piece = vec![7; 64 << 10];
        let begun = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let length = left.min(piece.len() as u64);
            connection
                .write_all(&piece[..length as usize])
                .map_err(told)?;
            left -= length;
        }
        connection.shutdown(Shutdown::Write).map_err(told)?;
        let mut count = [0; 8];
        connection.read_exact(&mut count).map_err(told)?;
        match u64::from_le_bytes(count) {
            count if count == bytes => Ok(nanoseconds(begun)),
            count => Err(format!("{count} of {bytes} bytes came")),
        }
    }

    fn hold(port: u16, connections: u32) -> Result<(), String> {
        let before = core::arch::wasm32::memory_size(0);
        let mut held = Vec::with_capacity(connections as usize);
        for number in 0..connections {
            let connection = TcpStream::connect(("127.0.0.1", port));
            held.push(connection.map_err(|error| format!("connection {number}: {error}"))?);
        }
        let after = core::arch::wasm32::memory_size(0);
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Err(format!("connection {connections} was not refused"));
        }
        println!("opened {connections} {before} {after}");
        // Nothing comes until the server ends.
        let mut last = [0];
        let ended = held
            .first_mut()
            .map(|connection| connection.read(&mut last));
        drop(ended);
        Ok(())
    }
}

/// Connects as soon as the server listens, and says what the connection is for.
fn connect(port: u16, kind: &[u8]) -> Result<TcpStream, String> {
    let mut attempts = 0;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(mut connection) => {
                let said = connection.write_all(kind);
                return said
                    .map(|()| connection)
                    .map_err(|error| format!("not connected: {error}"));
            }
            Err(error) if attempts == 1000 => return Err(format!("not connected: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        attempts += 1;
    }
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

export!(Client);
