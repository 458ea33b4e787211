//! Has values handed back and calls fail, and says what came of it.

wit_bindgen::generate!({ path: "../wit", world: "cross-front", generate_all, additional_derives: [PartialEq] });

use exports::test::cross::drive::Guest;
use test::cross::faults::{self, Trouble};
use test::cross::values::{self, Marks, Point, Shade, Shape};

struct Front;

fn point(name: &str) -> Point {
    Point {
        x: -7,
        y: 0.5,
        name: name.to_owned(),
        tags: vec![String::new(), "\u{1F98A} fox".to_owned()],
    }
}

fn shapes_come_back() -> bool {
    let polygon = || Shape::Polygon(vec![point("a"), point("b")]);
    values::draw(&Shape::Dot) == Shape::Dot
        && values::draw(&Shape::Circle(1.25)) == Shape::Circle(1.25)
        && values::draw(&polygon()) == polygon()
        && values::draw(&Shape::Polygon(Vec::new())) == Shape::Polygon(Vec::new())
}

fn mixtures_come_back() -> bool {
    let numbers = (255, '\u{10FFFF}', true, i64::MIN);
    let marks = Marks::ONE | Marks::THREE;
    let some = point("some");
    values::mix(marks, Shade::Dark, numbers, Some(&some))
        == (marks, Shade::Dark, numbers, Some(point("some")))
        && values::mix(Marks::empty(), Shade::Light, numbers, None)
            == (Marks::empty(), Shade::Light, numbers, None)
}

fn results_come_back() -> bool {
    values::judge(Ok(&point("ok"))) == Ok(point("ok"))
        && values::judge(Err(&Shade::Dark)) == Err(Shade::Dark)
}

fn what_is_copied_whole_comes_back() -> bool {
    values::nothing();
    values::reverse(&[1, 2, 3]) == [3, 2, 1]
        && values::reverse(&[]).is_empty()
        && values::join("\u{1F98A}", "") == "\u{1F98A}"
        && values::pack("a", &[0, 255]) == Ok(vec![b'a', 0, 255])
        && values::pack("", &[]) == Err("no name".to_owned())
        && values::find("known") == Some("known".to_owned())
        && values::find("other").is_none()
        && values::add(u32::MAX, 2) == 1
}

impl Guest for Front {
    fn values() -> String {
        let checks = [
            ("shapes", shapes_come_back()),
            ("mixtures", mixtures_come_back()),
            ("results", results_come_back()),
            ("numbers", values::sum(&[1, u64::MAX - 1]) == u64::MAX),
            ("whole", what_is_copied_whole_comes_back()),
        ];
        let wrong = checks.into_iter().filter(|(_, right)| !right);
        wrong.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }

    fn big(bytes: u32) -> u32 {
        let there: Vec<u8> = (0..bytes).map(|n| n.to_le_bytes()[0]).collect();
        let back = values::reverse(&there);
        let right = there
            .iter()
            .rev()
            .zip(&back)
            .filter(|(one, other)| one == other);
        u32::try_from(right.count()).unwrap_or(u32::MAX)
    }

    fn fault(name: String) -> String {
        match name.as_str() {
            "trap" => faults::trap().to_string(),
            "trap-silently" => format!("{:?}", faults::trap_silently()),
            "trap-text" => format!("{:?}", faults::trap_text()),
            "trap-case" => match faults::trap_case() {
                Ok(number) => number.to_string(),
                Err(Trouble::Odd(number)) => format!("odd {number}"),
                Err(Trouble::Other(text)) => format!("other {text}"),
            },
            "trap-odd" => format!("{:?}", faults::trap_odd()),
            "spin" => format!("{:?}", faults::spin()),
            _ => "no such fault".to_owned(),
        }
    }

    fn counts(times: u32) -> Vec<u32> {
        (0..times).map(|_| faults::count()).collect()
    }
}

export!(Front);
