//! Contents on their way: what is written becomes an object when it is finished, what is read is a range of one.

use std::cell::{Cell, OnceCell, RefCell};

use crate::Blobs;
use crate::draft::Draft;
use crate::exports::wasi::blobstore::types::{
    Guest, GuestIncomingValue, GuestOutgoingValue, IncomingValue, OutgoingValue,
};
use crate::volume::{Kept, Outcome, told};
use crate::wasi::filesystem::types::Descriptor;
use crate::wasi::io::streams::{InputStream, OutputStream};

/// The most bytes that are handed over at once.
const MOST_AT_ONCE: u64 = 64 << 20;

impl Guest for Blobs {
    type OutgoingValue = Outgoing;
    type IncomingValue = Incoming;
}

/// Contents that are being written. What has been written is in a file under way, wherever it goes in the end.
#[derive(Default)]
pub(crate) struct Outgoing {
    draft: OnceCell<Outcome<Draft>>,
    is_given_out: Cell<bool>,
    object: RefCell<Option<Kept>>,
}

impl Outgoing {
    /// Says where it goes.
    pub(crate) fn lead_to(&self, object: Kept) -> Outcome<()> {
        match self.object.replace(Some(object)) {
            None => Ok(()),
            Some(_) => Err("the value goes to an object already".to_owned()),
        }
    }
}

impl GuestOutgoingValue for Outgoing {
    fn new_outgoing_value() -> OutgoingValue {
        OutgoingValue::new(Self::default())
    }

    /// There is no room for words here: `finish` has them.
    fn outgoing_value_write_body(&self) -> Result<OutputStream, ()> {
        if self.is_given_out.replace(true) {
            return Err(());
        }
        let draft = self.draft.get_or_init(Draft::new).as_ref();
        draft.map_err(drop)?.writer().map_err(drop)
    }

    fn finish(this: OutgoingValue) -> Outcome<()> {
        let this: Self = this.into_inner();
        let object = this.object.into_inner();
        let object = object.ok_or("the value was not written to an object")?;
        let draft = this.draft.into_inner().unwrap_or_else(Draft::new)?;
        draft.commit(&object)
    }
}

/// A range of an object.
pub(crate) struct Incoming {
    file: Descriptor,
    start: u64,
    /// Behind the last byte.
    end: u64,
    /// Of the whole object.
    size: u64,
}

impl Incoming {
    /// Both ends belong to the range. What is behind the object is left out.
    pub(crate) fn range(object: &Kept, start: u64, end: u64) -> Outcome<Self> {
        if start > end {
            return Err("the range ends before it begins".to_owned());
        }
        let (file, size) = object.open()?;
        let end = end.saturating_add(1).min(size);
        let start = start.min(end);
        Ok(Self {
            file,
            start,
            end,
            size,
        })
    }

    fn length(&self) -> u64 {
        self.end - self.start
    }

    fn bytes(&self) -> Outcome<Vec<u8>> {
        if self.length() > MOST_AT_ONCE {
            return Err("it is too large to be handed over at once".to_owned());
        }
        let mut bytes = Vec::new();
        let mut at = self.start;
        while at < self.end {
            let (some, last) = self.file.read(self.end - at, at).map_err(told)?;
            at += some.len() as u64;
            bytes.extend(some);
            if last && at < self.end {
                return Err("the object ended before its end".to_owned());
            }
        }
        Ok(bytes)
    }

    /// A stream of the host. It goes on to the end of its file, so a range that ends before that gets a file of its own.
    fn stream(&self) -> Outcome<InputStream> {
        if self.end == self.size {
            return self.file.read_via_stream(self.start).map_err(told);
        }
        let draft = Draft::new()?;
        draft.take(&self.file, self.start, self.end)?;
        draft.into_reader()
    }
}

impl GuestIncomingValue for Incoming {
    fn incoming_value_consume_sync(this: IncomingValue) -> Outcome<Vec<u8>> {
        this.into_inner::<Self>().bytes()
    }

    fn incoming_value_consume_async(this: IncomingValue) -> Outcome<InputStream> {
        this.into_inner::<Self>().stream()
    }

    fn size(&self) -> u64 {
        self.length()
    }
}
