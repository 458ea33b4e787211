//! Values of guests to values of PostgreSQL and back: one table in each direction.
//!
//! To the server, values go as text, which it reads as it reads a constant in SQL: so a `text` fits any type. What text would cost or
//! spoil goes as bytes. From the server, values come in its binary formats.

mod array;
mod calendar;
mod from_server;
mod geometry;
mod number;
mod search;
mod text;
mod to_server;
mod wire;

use from_server::Unread;
pub(super) use from_server::decode;
pub(super) use to_server::encode;

use std::fmt;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// What a value that needs to know has to know of its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Locale {
    /// How many digits an amount of money has after its point.
    pub(super) money: Option<u32>,
}

/// What the values of a row may take in memory besides their own records. It may be much more than they had on their way: a number of
/// a hundred thousand digits comes in ten bytes.
#[derive(Debug)]
pub(super) struct Space {
    most: usize,
    taken: usize,
}

impl Space {
    pub(super) fn of(most: usize) -> Self {
        Self { most, taken: 0 }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    fn left(&self) -> usize {
        self.most.saturating_sub(self.taken)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Unread> {
        self.taken = self.taken.saturating_add(bytes);
        match self.taken <= self.most {
            true => Ok(()),
            false => Err(Unread::too_large()),
        }
    }
}

/// A parameter, ready to be sent.
pub(super) enum Encoded {
    Null,
    Text(String),
    Binary(Vec<u8>),
}

/// Clients log parameters in this form.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Binary(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Text(_) => Format::Text,
            Self::Null | Self::Binary(_) => Format::Binary,
        }
    }

    to_sql_checked!();
}

/// The type below a domain.
pub(super) fn base(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

/// The type of the elements, of an array.
pub(super) fn element(ty: &Type) -> Option<&Type> {
    match base(ty).kind() {
        Kind::Array(element) => Some(element),
        _ => None,
    }
}

/// Whether values of a type are amounts of money, or arrays of them.
pub(super) fn is_money(ty: &Type) -> bool {
    *base(ty) == Type::MONEY || element(ty).is_some_and(|element| *base(element) == Type::MONEY)
}
