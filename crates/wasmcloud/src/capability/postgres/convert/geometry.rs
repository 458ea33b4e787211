//! Points and what is made of them. A line is two points of it here, and three numbers in PostgreSQL. Whether a path is closed is not
//! in the interface: one that is read may be either, one that is written is open.

use super::super::value::{Float, Point};
use super::number::{double, of_double};
use super::wire::{Damaged, Wire};

/// Points with commas between them.
pub(super) fn points(open: &str, points: &[Point], close: &str) -> String {
    let each: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("({},{})", double(*x), double(*y)))
        .collect();
    format!("{open}{}{close}", each.join(","))
}

pub(super) fn circle(((x, y), radius): (Point, Float)) -> String {
    format!("<({},{}),{}>", double(x), double(y), double(radius))
}

pub(super) fn read_point(wire: &mut Wire<'_>) -> Result<Point, Damaged> {
    Ok((of_double(wire.f64()?), of_double(wire.f64()?)))
}

pub(super) fn read_pair(wire: &mut Wire<'_>) -> Result<(Point, Point), Damaged> {
    Ok((read_point(wire)?, read_point(wire)?))
}

pub(super) fn read_points(wire: &mut Wire<'_>) -> Result<Vec<Point>, Damaged> {
    let count = wire.length()?;
    (0..count).map(|_| read_point(wire)).collect()
}

pub(super) fn read_circle(wire: &mut Wire<'_>) -> Result<(Point, Float), Damaged> {
    Ok((read_point(wire)?, of_double(wire.f64()?)))
}

/// Two points of `ax + by + c = 0`.
pub(super) fn read_line(wire: &mut Wire<'_>) -> Result<(Point, Point), Damaged> {
    let (a, b, c) = (wire.f64()?, wire.f64()?, wire.f64()?);
    let point = |x: f64, y: f64| (of_double(x), of_double(y));
    Ok(if b == 0.0 {
        (point(-c / a, 0.0), point(-c / a, 1.0))
    } else {
        (point(0.0, -c / b), point(1.0, (-c - a) / b))
    })
}
