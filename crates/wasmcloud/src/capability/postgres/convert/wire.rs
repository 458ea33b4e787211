//! Reads the binary formats of the server, and believes nothing.

/// What came is not what its type is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Bytes of a value, read from the front.
pub(super) struct Wire<'a>(&'a [u8]);

macro_rules! numbers {
    ($($name:ident: $type:ty),*) => {
        $(pub(super) fn $name(&mut self) -> Result<$type, Damaged> {
            let (first, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
            self.0 = rest;
            Ok(<$type>::from_be_bytes(*first))
        })*
    };
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    numbers!(u8: u8, u16: u16, u32: u32, u64: u64, i16: i16, i32: i32, i64: i64, f32: f32, f64: f64);

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (first, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(first)
    }

    /// What is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn length(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.i32()?).map_err(|_| Damaged)
    }

    /// Bytes after their length, or none where it is below zero.
    pub(super) fn sized(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        match self.i32()? {
            ..0 => Ok(None),
            length => self
                .take(usize::try_from(length).map_err(|_| Damaged)?)
                .map(Some),
        }
    }

    /// A text that ends with a zero.
    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Damaged)?;
        let text = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(text).map_err(|_| Damaged)
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), Damaged> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Damaged),
        }
    }
}

/// A text, of all bytes.
pub(super) fn utf8(raw: &[u8]) -> Result<String, Damaged> {
    std::str::from_utf8(raw)
        .map(str::to_owned)
        .map_err(|_| Damaged)
}
