//! A service whose life is what `MODE` says.

use std::io::Read as _;

use test::cross::{faults, values};

wit_bindgen::generate!({ path: "../wit", world: "serve-p2", generate_all });

struct Service;

impl wasip2::exports::cli::run::Guest for Service {
    fn run() -> Result<(), ()> {
        let mode = std::env::var("MODE").unwrap_or_default();
        println!("up");
        match mode.as_str() {
            "complete" => Ok(()),
            "error" => Err(()),
            "exit" => std::process::exit(3),
            "trap" => panic!("told to trap"),
            "spin" => misdeeds::spin(),
            "hoard" => misdeeds::hoard(),
            "calls" => calls(),
            "trapped" => trapped(),
            "deaf" => loop {
                std::thread::sleep(std::time::Duration::from_secs(3600));
            },
            _ => stay(),
        }
    }
}

/// Goes on until nothing more will come.
fn stay() -> Result<(), ()> {
    let mut rest = Vec::new();
    let read = std::io::stdin().read_to_end(&mut rest);
    println!("farewell after {read:?}");
    Ok(())
}

/// Calls a component, whose failures are told as errors, and goes on.
fn calls() -> Result<(), ()> {
    let counts = [faults::count(), faults::count(), faults::count()];
    println!("counts {counts:?}");
    println!("told {:?}", faults::trap_text().is_err());
    println!("sum {}", values::add(1, 2));
    stay()
}

/// Calls a component whose failure cannot be told.
fn trapped() -> Result<(), ()> {
    println!("{}", faults::trap());
    Ok(())
}

wasip2::cli::command::export!(Service with_types_in wasip2);
