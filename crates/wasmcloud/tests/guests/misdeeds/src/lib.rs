//! What a hostile guest does to its own instance, whichever WASI it speaks: it takes time, stack and memory.

use std::hint::black_box;
use std::mem::forget;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a page of memory.
const PAGE: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// Computes for good, without a call to the host.
pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Computes for about so many milliseconds of a fast machine.
pub fn compute(milliseconds: usize) -> String {
    for turn in 0..milliseconds * 300_000 {
        black_box(turn);
    }
    "computed\n".to_owned()
}

/// Calls itself until there is no stack.
pub fn recurse() -> ! {
    black_box(deeper(black_box(0)));
    unreachable!("the stack has an end");
}

/// Keeps nothing in memory, whose own part for the stack would end first.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    deeper(depth + 1).rotate_left(7) ^ depth
}

/// Asks for so much memory at once, and takes no for an answer.
pub fn grow(mib: usize) -> bool {
    core::arch::wasm32::memory_grow::<0>(mib * MIB / PAGE) != usize::MAX
}

/// Takes memory bit by bit and writes to each, until it gets no more and traps.
pub fn hoard() -> ! {
    loop {
        forget(black_box(vec![1_u8; PAGE]));
    }
}

/// A text of so many MiB, which is all zeros. It traps where it gets no memory for that.
pub fn long_text(mib: usize) -> &'static str {
    let pages = mib * MIB / PAGE;
    let before = core::arch::wasm32::memory_grow::<0>(pages);
    assert!(before != usize::MAX, "no memory for so long a text");
    let start = (before * PAGE) as *const u8;
    // SAFETY: these pages are new, nobody else knows of them, and zeros are UTF-8.
    unsafe { str::from_utf8_unchecked(std::slice::from_raw_parts(start, mib * MIB)) }
}

/// How many times this instance has been asked.
pub fn count() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

/// Leaves a secret in the instance, and tells the one that was there.
pub fn leave_secret(secret: &str) -> String {
    static SECRET: Mutex<String> = Mutex::new(String::new());
    let mut kept = SECRET.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *kept, secret.to_owned())
}
