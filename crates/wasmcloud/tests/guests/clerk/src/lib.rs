//! A plugin that is a component, and runs by itself beside the calls. `shift` of its configuration says how: `stay`, `crash`, `done`, or
//! `until ADDRESS`, which crashes when the connection there ends. Asked to note `reach ADDRESS`, it opens a connection.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

wit_bindgen::generate!({ path: "../wit", world: "clerk", generate_all });

struct Clerk;

impl exports::wasi::cli0_2_12::run::Guest for Clerk {
    fn run() -> Result<(), ()> {
        println!("open");
        let shift = wasi::config::store::get("shift").ok().flatten();
        let shift = shift.unwrap_or_default();
        if let Some(address) = shift.strip_prefix("until ") {
            let mut other = TcpStream::connect(address).map_err(drop)?;
            let _ = other.read(&mut [0]);
        } else if shift == "stay" {
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        if shift != "done" {
            // Without a word, so that each life is one line.
            std::process::abort();
        }
        Ok(())
    }
}

impl exports::test::ledger::book::Guest for Clerk {
    fn note(text: String) -> Result<String, String> {
        match text.strip_prefix("reach ") {
            Some(address) => match TcpStream::connect(address) {
                Ok(_) => Ok("reached".to_owned()),
                Err(error) => Err(format!("{:?}", error.kind())),
            },
            None => Ok(format!("noted: {text}")),
        }
    }

    fn length(lines: Vec<String>) -> u32 {
        lines.iter().map(|line| line.len() as u32).sum()
    }
}

export!(Clerk);
