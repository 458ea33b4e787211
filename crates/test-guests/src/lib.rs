//! Where the guest programs of the tests are, once built: a constant for each holds the path of its component.
//!
//! The programs are in `crates/wasmcloud/tests/guests`, a Cargo workspace of their own because they are built for
//! another target. The build script of this crate builds them all, so that plain `cargo test` finds them.
//!
//! A program that no test runs is a test somebody believes in and nobody has. [`for_each_guest`] is there so that it
//! does not compile: it calls a macro with the name of each guest, and a test crate that has a module or a function of
//! the same name for every guest passes.
//!
//! ```ignore
//! mod http_p2;                        // the tests of the guest `http-p2`
//! mod identity;
//! use identity::{id_back, id_front};  // guests that are tested together: one test function each
//!
//! macro_rules! assert_tested {
//!     ($guest:ident) => {
//!         #[expect(unused_imports, reason = "it only has to exist")]
//!         use self::$guest as _;
//!     };
//! }
//! test_guests::for_each_guest!(assert_tested);
//! ```

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test may fail where it finds something wrong"
    )]

    #[test]
    fn every_guest_is_a_wasm_file() {
        for (name, path) in super::ALL {
            let bytes = std::fs::read(path).unwrap();
            assert!(bytes.starts_with(b"\0asm"), "{name} at {path}");
        }
    }

    #[test]
    fn the_macro_visits_every_guest() {
        let mut visited = Vec::new();
        macro_rules! visit {
            ($guest:ident) => {
                visited.push(stringify!($guest).replace('_', "-"));
            };
        }
        for_each_guest!(visit);
        let all: Vec<&str> = super::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(visited, all);
    }
}
