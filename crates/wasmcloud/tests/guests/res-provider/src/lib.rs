//! Resources that another component holds, borrows and gives back.

use std::cell::Cell;

wit_bindgen::generate!({ path: "../wit", world: "res-provider", generate_all });

use exports::test::resources::counters::{Counter, CounterBorrow, Guest, GuestCounter};

struct Provider;

struct Count(Cell<u32>);

impl Guest for Provider {
    type Counter = Count;

    fn make(start: u32) -> Counter {
        Counter::new(Count(Cell::new(start)))
    }

    fn peek(c: CounterBorrow<'_>) -> u32 {
        c.get::<Count>().0.get()
    }

    fn consume(c: Counter) -> u32 {
        c.into_inner::<Count>().0.get()
    }
}

impl GuestCounter for Count {
    fn new(start: u32) -> Self {
        Self(Cell::new(start))
    }

    fn bump(&self) -> u32 {
        self.0.set(self.0.get().wrapping_add(1));
        self.0.get()
    }
}

export!(Provider);
