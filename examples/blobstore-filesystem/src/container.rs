//! A container, and the names of what is in it.

use std::cell::RefCell;

use crate::Blobs;
use crate::exports::wasi::blobstore::container::{
    ContainerMetadata, Guest, GuestContainer, GuestStreamObjectNames, IncomingValue,
    ObjectMetadata, OutgoingValueBorrow, StreamObjectNames,
};
use crate::names::name_of;
use crate::value::{Incoming, Outgoing};
use crate::volume::{Kept, Outcome, Steps};

/// The most names that are handed over at once.
const MOST_AT_ONCE: u64 = 10_000;

impl Guest for Blobs {
    type Container = Container;
    type StreamObjectNames = Names;
}

/// A container that was there when it was asked for.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) kept: Kept,
}

impl GuestContainer for Container {
    fn name(&self) -> Outcome<String> {
        Ok(self.name.clone())
    }

    fn info(&self) -> Outcome<ContainerMetadata> {
        Ok(ContainerMetadata {
            name: self.name.clone(),
            created_at: self.kept.made()?,
        })
    }

    fn get_data(&self, name: String, start: u64, end: u64) -> Outcome<IncomingValue> {
        let object = self.kept.object(&name)?;
        Incoming::range(&object, start, end).map(IncomingValue::new)
    }

    fn write_data(&self, name: String, data: OutgoingValueBorrow<'_>) -> Outcome<()> {
        let object = self.kept.object(&name)?;
        data.get::<Outgoing>().lead_to(object)
    }

    fn list_objects(&self) -> Outcome<StreamObjectNames> {
        Names::of(self.kept.steps()?).map(StreamObjectNames::new)
    }

    fn delete_object(&self, name: String) -> Outcome<()> {
        self.kept.object(&name)?.unlink()
    }

    fn delete_objects(&self, names: Vec<String>) -> Outcome<()> {
        names
            .into_iter()
            .try_for_each(|name| self.delete_object(name))
    }

    fn has_object(&self, name: String) -> Outcome<bool> {
        self.kept.object(&name)?.is_there()
    }

    fn object_info(&self, name: String) -> Outcome<ObjectMetadata> {
        let (size, created_at) = self.kept.object(&name)?.size_and_time()?;
        Ok(ObjectMetadata {
            name,
            container: self.name.clone(),
            created_at,
            size,
        })
    }

    fn clear(&self) -> Outcome<()> {
        let steps = self.kept.all_steps()?;
        let mut names = steps.iter().filter_map(|step| name_of(step));
        names.try_for_each(|name| self.delete_object(name))
    }
}

/// The names of objects that have not been read yet.
pub(crate) struct Names {
    steps: Steps,
    /// Read ahead, to know of the last name that it is the last.
    next: RefCell<Option<String>>,
}

impl Names {
    fn of(steps: Steps) -> Outcome<Self> {
        let names = Self {
            steps,
            next: RefCell::default(),
        };
        names.advance()?;
        Ok(names)
    }

    /// The next name; what is no object is passed over.
    fn advance(&self) -> Outcome<Option<String>> {
        let next = loop {
            match self.steps.next()? {
                None => break None,
                Some(step) => {
                    if let Some(name) = name_of(&step) {
                        break Some(name);
                    }
                }
            }
        };
        Ok(self.next.replace(next))
    }

    fn is_over(&self) -> bool {
        self.next.borrow().is_none()
    }
}

impl GuestStreamObjectNames for Names {
    fn read_stream_object_names(&self, most: u64) -> Outcome<(Vec<String>, bool)> {
        let mut names = Vec::new();
        while (names.len() as u64) < most.min(MOST_AT_ONCE) {
            match self.advance()? {
                Some(name) => names.push(name),
                None => break,
            }
        }
        Ok((names, self.is_over()))
    }

    fn skip_stream_object_names(&self, most: u64) -> Outcome<(u64, bool)> {
        let mut skipped = 0;
        while skipped < most && self.advance()?.is_some() {
            skipped += 1;
        }
        Ok((skipped, self.is_over()))
    }
}
