//! Welcomes guests, and has them sign the book. Where that is kept is the program's business.

wit_bindgen::generate!({ path: "wit", world: "reception" });

use demo::guestbook::book;
use exports::demo::guestbook::desk::Guest;

struct Desk;

impl Guest for Desk {
    fn welcome(guest: String) -> Result<String, String> {
        match book::sign(&format!("{guest} was here")) {
            Ok(left) => Ok(format!("welcome, {guest}; lines left: {left}")),
            Err(why) => Err(format!("sorry, {guest}: {why}")),
        }
    }
}

export!(Desk);
