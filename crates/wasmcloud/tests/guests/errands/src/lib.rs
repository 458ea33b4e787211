//! Functions of many types, to be called from outside.

use std::sync::atomic::{AtomicU32, Ordering};

use exports::test::errands::desk::{Color, Drawer, Person, Rights, Shape};

wit_bindgen::generate!({ path: "../wit", world: "errands", generate_all });

static CALLS: AtomicU32 = AtomicU32::new(0);

fn count() -> u32 {
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

struct Errands;

impl exports::test::errands::desk::Guest for Errands {
    type Drawer = Empty;

    fn sum(numbers: Vec<i64>) -> i64 {
        numbers.into_iter().sum()
    }

    fn greet(who: Person) -> String {
        format!("hello {}, {}", who.name, who.age)
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        a.checked_div(b)
            .ok_or_else(|| format!("{a} / {b} is no number"))
    }

    fn same(
        shape: Shape,
        color: Color,
        rights: Rights,
        pair: (u8, char),
        maybe: Option<bool>,
    ) -> (Shape, Color, Rights, (u8, char), Option<bool>) {
        (shape, color, rights, pair, maybe)
    }

    fn note(text: String) {
        println!("{text}");
    }

    fn count() -> u32 {
        count()
    }

    fn fall() {
        panic!("it fell");
    }

    fn spin() {
        println!("spinning");
        loop {
            std::hint::black_box(());
        }
    }

    fn open() -> Drawer {
        Drawer::new(Empty)
    }
}

impl exports::test::errands::annex::Guest for Errands {
    fn count() -> u32 {
        count()
    }
}

impl Guest for Errands {
    fn tick() -> u32 {
        let count = count();
        println!("tick");
        count
    }
}

struct Empty;

impl exports::test::errands::desk::GuestDrawer for Empty {
    fn new() -> Self {
        Self
    }
}

export!(Errands);
