//! The commands, in the words of Rust's standard library.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use crate::raw;

type Answer = Result<String, String>;

/// How much is copied at once.
const CHUNK: usize = 64 << 10;

/// Runs a script, and tells each answer as it comes.
pub fn run(script: &str, mut tell: impl FnMut(&str)) {
    let mut shell = Shell::default();
    for command in script.split(';').filter(|command| !command.is_empty()) {
        let arguments: Vec<&str> = command.split(',').collect();
        match shell.command(&arguments, &mut tell) {
            Ok(line) | Err(line) => tell(&line),
        }
    }
}

#[derive(Default)]
struct Shell {
    streams: Vec<Option<TcpStream>>,
    listeners: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
}

fn told(error: io::Error) -> String {
    format!("{:?}", error.kind())
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

impl Shell {
    fn command(&mut self, arguments: &[&str], tell: &mut impl FnMut(&str)) -> Answer {
        match *arguments {
            ["connect", to] => self.connect(to),
            ["many", to, count] => Ok(self.many(to, number(count))),
            ["write", at, text] => self.write(at, text.as_bytes()),
            ["fill", at, bytes] => self.fill(at, number(bytes)),
            ["read", at, most] => self.read(at, number(most)),
            ["read-all", at] => self.read_all(at),
            ["count", at] => self.count(at),
            ["shut", at, which] => self.shut(at, which),
            ["close", at] => Ok(format!("{}", self.streams[number(at)].take().is_some())),
            ["addresses", at] => self.addresses(at),
            ["listen", at] => self.listen(at),
            ["accept", at] => self.accept(at),
            ["unlisten"] => Ok(self.listeners.drain(..).count().to_string()),
            ["echo", at] => Err(self.echo(at)),
            ["bind", at] => self.bind(at),
            ["send", at, text, to] => self.send(at, text, to),
            ["receive", at] => self.receive(at),
            ["resolve", name] => resolve(name),
            ["say", text] => Ok(text.to_owned()),
            ["stay"] => Ok(stay()),
            ["echo-datagrams", at] => Err(self.echo_datagrams(at, tell)),
            _ => raw::command(arguments),
        }
    }

    fn keep(&mut self, stream: TcpStream) -> usize {
        self.streams.push(Some(stream));
        self.streams.len() - 1
    }

    fn stream(&mut self, at: &str) -> Result<&mut TcpStream, String> {
        let stream = self.streams.get_mut(number(at)).and_then(Option::as_mut);
        stream.ok_or_else(|| "none".to_owned())
    }

    fn connect(&mut self, to: &str) -> Answer {
        let stream = TcpStream::connect(to).map_err(told)?;
        Ok(format!("connected {}", self.keep(stream)))
    }

    /// Connects again and again, and keeps what it gets.
    fn many(&mut self, to: &str, count: usize) -> String {
        for done in 0..count {
            match TcpStream::connect(to) {
                Ok(stream) => drop(self.keep(stream)),
                Err(error) => return format!("{done} and then {}", told(error)),
            }
        }
        format!("{count}")
    }

    fn write(&mut self, at: &str, bytes: &[u8]) -> Answer {
        self.stream(at)?.write_all(bytes).map_err(told)?;
        Ok(format!("wrote {}", bytes.len()))
    }

    fn fill(&mut self, at: &str, mut bytes: usize) -> Answer {
        let (chunk, whole) = ([b'x'; CHUNK], bytes);
        let stream = self.stream(at)?;
        while bytes > 0 {
            let some = &chunk[..bytes.min(CHUNK)];
            let written = stream.write(some);
            bytes -=
                written.map_err(|error| format!("{} of {whole} left: {}", bytes, told(error)))?;
        }
        Ok(format!("wrote {whole}"))
    }

    fn read(&mut self, at: &str, most: usize) -> Answer {
        let mut bytes = vec![0; most];
        let read = self.stream(at)?.read(&mut bytes).map_err(told)?;
        Ok(format!("read {}", String::from_utf8_lossy(&bytes[..read])))
    }

    fn read_all(&mut self, at: &str) -> Answer {
        let mut bytes = Vec::new();
        let read = self.stream(at)?.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match read {
            Ok(_) => Ok(format!("read {text}")),
            Err(error) => Err(format!("read {text} and then {}", told(error))),
        }
    }

    /// How much comes until the end.
    fn count(&mut self, at: &str) -> Answer {
        let read = io::copy(self.stream(at)?, &mut io::sink()).map_err(told)?;
        Ok(format!("read {read} bytes"))
    }

    fn shut(&mut self, at: &str, which: &str) -> Answer {
        let which = match which {
            "read" => Shutdown::Read,
            "write" => Shutdown::Write,
            _ => Shutdown::Both,
        };
        self.stream(at)?.shutdown(which).map_err(told)?;
        Ok("shut".to_owned())
    }

    fn addresses(&mut self, at: &str) -> Answer {
        let stream = self.stream(at)?;
        let (local, peer) = (stream.local_addr(), stream.peer_addr());
        let local = local.map_err(told)?;
        // The port is any.
        let port = if local.port() >= 1024 { "some" } else { "no" };
        Ok(format!(
            "{} at {port} port to {}",
            local.ip(),
            peer.map_err(told)?
        ))
    }

    fn listen(&mut self, at: &str) -> Answer {
        let listener = TcpListener::bind(at).map_err(told)?;
        let address = listener.local_addr().map_err(told)?;
        self.listeners.push(listener);
        Ok(match at.ends_with(":0") {
            true => format!("listening at some port: {}", address.port() >= 1024),
            false => format!("listening on {address}"),
        })
    }

    fn accept(&mut self, at: &str) -> Answer {
        let (stream, _) = self.listeners[number(at)].accept().map_err(told)?;
        Ok(format!("accepted {}", self.keep(stream)))
    }

    /// Sends everybody back what they send, one after the other, until nobody can come any more.
    fn echo(&mut self, at: &str) -> String {
        loop {
            let (stream, _) = match self.listeners[number(at)].accept() {
                Ok(accepted) => accepted,
                Err(error) => return format!("no more: {}", told(error)),
            };
            // Whoever goes early is nobody to report to.
            let _ = io::copy(&mut &stream, &mut &stream);
        }
    }

    fn bind(&mut self, at: &str) -> Answer {
        let socket = UdpSocket::bind(at).map_err(told)?;
        self.datagrams.push(socket);
        Ok(format!("bound {}", self.datagrams.len() - 1))
    }

    fn send(&mut self, at: &str, text: &str, to: &str) -> Answer {
        let sent = self.datagrams[number(at)].send_to(text.as_bytes(), to);
        Ok(format!("sent {}", sent.map_err(told)?))
    }

    fn receive(&mut self, at: &str) -> Answer {
        let mut bytes = [0; CHUNK];
        let (read, from) = self.datagrams[number(at)]
            .recv_from(&mut bytes)
            .map_err(told)?;
        let text = String::from_utf8_lossy(&bytes[..read]);
        Ok(format!("received {text} from {}", from.ip()))
    }

    fn echo_datagrams(&mut self, at: &str, tell: &mut impl FnMut(&str)) -> String {
        let mut bytes = [0; CHUNK];
        let socket = &self.datagrams[number(at)];
        tell("echoing datagrams");
        loop {
            let echoed = socket
                .recv_from(&mut bytes)
                .and_then(|(read, from)| socket.send_to(&bytes[..read], from));
            if let Err(error) = echoed {
                return format!("no more: {}", told(error));
            }
        }
    }
}

fn resolve(name: &str) -> Answer {
    let found = (name, 80).to_socket_addrs().map_err(|_| "not found")?;
    let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    Ok(found.join(" "))
}

/// Goes on until nothing more will come.
fn stay() -> String {
    let mut rest = Vec::new();
    let _ = io::stdin().read_to_end(&mut rest);
    "farewell".to_owned()
}
