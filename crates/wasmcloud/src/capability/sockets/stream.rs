//! The two halves of a connection, inside the workload or outside.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::fault::Fault;
use super::network::{Reader, Writer};
use super::outside;

/// The half that receives. Dropping it ends receiving.
#[derive(Debug)]
pub(super) enum Receiving {
    Inside(Reader),
    Outside(outside::Receiving),
}

impl Receiving {
    /// Some bytes, at most so many; none at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Bytes, Fault>> {
        match self {
            Self::Inside(reader) => reader.poll_read(cx, most).map_err(Fault::from),
            Self::Outside(half) => half.poll_read(cx, most),
        }
    }

    /// Some bytes into a buffer that has room; 0 at the end.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, Fault>> {
        match self {
            Self::Inside(reader) => reader.poll_read_into(cx, into).map_err(Fault::from),
            Self::Outside(half) => half.poll_read_into(cx, into),
        }
    }

    /// Ready when there is something to read, or nothing will ever be.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Inside(reader) => reader.poll_readable(cx),
            Self::Outside(half) => half.poll_readable(cx),
        }
    }
}

/// The half that sends. Dropping it tells the other side that nothing more comes.
#[derive(Debug)]
pub(super) enum Sending {
    Inside(Writer),
    Outside(outside::Sending),
}

impl Sending {
    /// Takes some of the bytes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, Fault>> {
        match self {
            Self::Inside(writer) => writer.poll_write(cx, bytes).map_err(Fault::from),
            Self::Outside(half) => half.poll_write(cx, bytes),
        }
    }

    /// Takes some of the bytes, of which there are some.
    pub(super) fn poll_write_from(
        &mut self,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize, Fault>> {
        match self {
            Self::Inside(writer) => writer.poll_write_from(cx, from).map_err(Fault::from),
            Self::Outside(half) => half.poll_write_from(cx, from),
        }
    }

    /// How much can be written; more than nothing.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        match self {
            Self::Inside(writer) => writer.poll_writable(cx).map_err(Fault::from),
            Self::Outside(half) => half.poll_writable(cx),
        }
    }

    /// Sets how much of what is sent waits to be read, where that is up to the workload's own network.
    pub(super) fn set_buffer(&mut self, bytes: usize) {
        if let Self::Inside(writer) = self {
            writer.set_capacity(bytes);
        }
    }
}
