//! Hands values back, traps, spins and counts.

wit_bindgen::generate!({ path: "../wit", world: "cross-back", generate_all });

use std::sync::atomic::{AtomicU32, Ordering};

use exports::test::cross::faults::{self, Trouble};
use exports::test::cross::values::{self, Marks, Point, Shade, Shape};

struct Back;

impl values::Guest for Back {
    fn draw(it: Shape) -> Shape {
        it
    }

    fn mix(
        m: Marks,
        s: Shade,
        t: (u8, char, bool, i64),
        o: Option<Point>,
    ) -> (Marks, Shade, (u8, char, bool, i64), Option<Point>) {
        (m, s, t, o)
    }

    fn judge(it: Result<Point, Shade>) -> Result<Point, Shade> {
        it
    }

    fn sum(numbers: Vec<u64>) -> u64 {
        numbers.into_iter().sum()
    }

    fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reverse();
        bytes
    }

    fn join(one: String, other: String) -> String {
        one + &other
    }

    fn pack(name: String, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if name.is_empty() {
            return Err("no name".to_owned());
        }
        Ok([name.as_bytes(), &bytes].concat())
    }

    fn find(key: String) -> Option<String> {
        (key == "known").then_some(key)
    }

    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn nothing() {}
}

static CALLS: AtomicU32 = AtomicU32::new(0);

impl faults::Guest for Back {
    fn trap() -> u32 {
        core::arch::wasm32::unreachable()
    }

    fn trap_silently() -> Result<u32, ()> {
        core::arch::wasm32::unreachable()
    }

    fn trap_text() -> Result<String, String> {
        core::arch::wasm32::unreachable()
    }

    fn trap_case() -> Result<u32, Trouble> {
        core::arch::wasm32::unreachable()
    }

    fn trap_odd() -> Result<u32, u8> {
        core::arch::wasm32::unreachable()
    }

    fn spin() -> Result<String, String> {
        loop {
            core::hint::black_box(0);
        }
    }

    fn count() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

export!(Back);
