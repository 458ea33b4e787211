//! The service: a TCP server that answers every text in leet speak. Only the components of its workload can reach it.

use wstd::io::{self, AsyncRead as _, AsyncWrite as _};
use wstd::iter::AsyncIterator as _;
use wstd::net::{TcpListener, TcpStream};
use wstd::runtime::spawn;

const ADDRESS: &str = "127.0.0.1:7777";

#[wstd::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(ADDRESS).await?;
    let mut incoming = listener.incoming();
    while let Some(Ok(client)) = incoming.next().await {
        spawn(async move {
            if let Err(error) = answer(client).await {
                println!("a client left early: {error}");
            }
        })
        .detach();
    }
    Ok(())
}

/// Sends back what comes in, piece by piece and translated, until the client has sent everything.
async fn answer(client: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = client.split();
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(text) = buffer.get_mut(..length).filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        text.iter_mut().for_each(|byte| *byte = leet(*byte));
        to.write_all(text).await?;
    }
}

/// One byte of a text for another: what is no ASCII stays as it is, so it does not matter where a text was cut into pieces.
fn leet(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        b'a' => b'4',
        b'b' => b'8',
        b'e' => b'3',
        b'g' => b'6',
        b'i' => b'1',
        b'o' => b'0',
        b's' => b'5',
        b't' => b'7',
        b'z' => b'2',
        _ => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_translated_byte_by_byte() {
        let text: Vec<u8> = "Größe zählt!".bytes().map(leet).collect();
        assert_eq!(String::from_utf8(text).unwrap(), "6röß3 2ähl7!");
    }
}
