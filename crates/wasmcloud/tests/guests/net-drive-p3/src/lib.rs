//! The client of the network's measurements, through WASI 0.3. It takes the time itself, so that entering the guest and connecting do
//! not count.

use std::time::{Duration, Instant};

use exports::bench::network::drive_async::Guest;
use wasi::sockets0_3_0::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

wit_bindgen::generate!({ path: "../wit", world: "net-drive-p3", generate_all });

struct Client;

/// Rounds before the time is taken.
const WARM_UP: u32 = 1000;

impl Guest for Client {
    async fn ping_pong(port: u16, rounds: u32) -> Result<u64, String> {
        let mut connection = Connection::open(port, b'e').await?;
        let mut buffer = Vec::with_capacity(64);
        for number in 0..WARM_UP.min(rounds) {
            buffer = connection.trip(buffer, number as u8).await?;
        }
        let begun = Instant::now();
        for number in 0..rounds {
            buffer = connection.trip(buffer, number as u8).await?;
        }
        Ok(nanoseconds(begun))
    }

    async fn bulk(port: u16, bytes: u64) -> Result<u64, String> {
        let mut connection = Connection::open(port, b's').await?;
        let mut piece = vec![7; 64 << 10];
        let begun = Instant::now();
        let mut left = bytes;
        while left > 0 {
            piece.resize(left.min(64 << 10) as usize, 7);
            left -= piece.len() as u64;
            piece = connection.output.write_all(piece).await;
            if !piece.is_empty() {
                return Err(format!("not sent: {left} bytes and more are left"));
            }
        }
        drop(connection.output);
        let mut count = Vec::new();
        while let Some(byte) = connection.input.next().await {
            count.push(byte);
        }
        match count.try_into().map(u64::from_le_bytes) {
            Ok(count) if count == bytes => Ok(nanoseconds(begun)),
            other => Err(format!("{other:?} of {bytes} bytes came")),
        }
    }
}

struct Connection {
    input: StreamReader<u8>,
    output: StreamWriter<u8>,
    _sent: FutureReader<Result<(), ErrorCode>>,
    _socket: TcpSocket,
}

impl Connection {
    /// Connects as soon as the server listens, and says what the connection is for.
    async fn open(port: u16, kind: u8) -> Result<Self, String> {
        let to = IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port,
            address: (127, 0, 0, 1),
        });
        let mut attempts = 0;
        let socket = loop {
            let socket = TcpSocket::create(IpAddressFamily::Ipv4);
            let socket = socket.map_err(|error| format!("no socket: {error:?}"))?;
            match socket.connect(to).await {
                Ok(()) => break socket,
                Err(error) if attempts == 1000 => return Err(format!("not connected: {error:?}")),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
            attempts += 1;
        };
        let (mut output, outgoing) = wit_stream::new();
        let sent = socket.send(outgoing);
        let (input, _) = socket.receive();
        output.write_all(vec![kind]).await;
        Ok(Self {
            input,
            output,
            _sent: sent,
            _socket: socket,
        })
    }

    /// There and back.
    async fn trip(&mut self, mut buffer: Vec<u8>, number: u8) -> Result<Vec<u8>, String> {
        buffer.resize(64, number);
        let mut buffer = self.output.write_all(buffer).await;
        buffer.clear();
        while buffer.len() < 64 {
            let (read, more) = self.input.read(buffer).await;
            buffer = more;
            if read == StreamResult::Dropped {
                return Err("no answer: the server has ended the connection".to_owned());
            }
        }
        match buffer.iter().all(|byte| *byte == number) {
            true => {
                buffer.clear();
                Ok(buffer)
            }
            false => Err("no answer: it is not what was sent".to_owned()),
        }
    }
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

export!(Client);
