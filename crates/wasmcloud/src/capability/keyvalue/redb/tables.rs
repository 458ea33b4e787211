//! How entries lie in the file: by tenant, bucket and key, so that a bucket is one stretch in the order of its keys.

use std::collections::HashMap;
use std::ops::Bound;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio_util::sync::CancellationToken;

use super::DiskFile;
use crate::capability::keyvalue::Fault;
use crate::capability::keyvalue::entries::{self, Held, Millis, Shelf, now};
use crate::capability::keyvalue::listing::{Page, Wanted};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// The keys of entries, by when their time is over.
const DUE: TableDefinition<'_, (Millis, &[u8]), ()> = TableDefinition::new("due");
/// How much each tenant keeps, and how much all that workloads of a namespace share.
const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("used");
/// The last revision, under one key.
const REVISION: TableDefinition<'_, (), u64> = TableDefinition::new("revision");

/// What an entry has before its value: when its time is over (0 for never), and its revision.
const HEAD: usize = 16;
/// How many entries whose time is over a transaction takes away on its way.
const SWEPT: usize = 64;
/// How many entries a listing looks at before it looks whether somebody still waits for it.
const STRIDE: usize = 1000;

/// Makes the tables that there must be.
pub(super) fn create(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(DUE)?;
    recount(&mut transaction.open_table(USED)?)?;
    transaction.open_table(REVISION)?;
    transaction.commit()?;
    Ok(())
}

/// What the names of tenants begin with that share, behind their namespace.
const SHARED: &str = "/shared";

/// What all tenants of a namespace are called together that share: they have one room, by however many names they do.
fn together(tenant: &str) -> Option<&str> {
    let (all, _) = tenant.rsplit_once('/')?;
    all.ends_with(SHARED).then_some(all)
}

/// Whether something is the name of all tenants of a namespace that share.
fn is_together(name: &str) -> bool {
    let namespace = name.strip_suffix(SHARED);
    namespace.is_some_and(|namespace| !namespace.contains('/'))
}

/// The names by which it is counted what a tenant keeps.
fn counts(tenant: &str) -> impl Iterator<Item = &str> {
    [Some(tenant), together(tenant)].into_iter().flatten()
}

/// Counts what is shared in each namespace: hosts that wrote the file before may not have.
fn recount(used: &mut Table<'_, &'static str, u64>) -> Result<(), redb::Error> {
    let mut all = HashMap::<String, u64>::new();
    for row in used.iter()? {
        let (name, bytes) = row?;
        if is_together(name.value()) {
            all.entry(name.value().to_owned()).or_default();
        } else if let Some(name) = together(name.value()) {
            *all.entry(name.to_owned()).or_default() += bytes.value();
        }
    }
    for (name, bytes) in all {
        keep_count(used, &name, bytes)?;
    }
    Ok(())
}

fn keep_count(
    used: &mut Table<'_, &'static str, u64>,
    name: &str,
    bytes: u64,
) -> Result<(), redb::Error> {
    match bytes {
        0 => drop(used.remove(name)?),
        _ => drop(used.insert(name, bytes)?),
    }
    Ok(())
}

/// A bucket of a tenant, as the file knows it.
pub(super) struct Address {
    tenant: Box<str>,
    /// What the keys of its entries begin with. No tenant has a 0 in its name, and the length stands before the bucket's, so none
    /// begins like another.
    prefix: Vec<u8>,
}

impl Address {
    pub(super) fn of(tenant: &str, bucket: &str) -> Self {
        let mut prefix = tenant.as_bytes().to_vec();
        prefix.push(0);
        let length = u32::try_from(bucket.len()).unwrap_or(u32::MAX);
        prefix.extend(length.to_be_bytes());
        prefix.extend(bucket.as_bytes());
        Self {
            tenant: tenant.into(),
            prefix,
        }
    }

    fn key(&self, key: &str) -> Vec<u8> {
        [&self.prefix, key.as_bytes()].concat()
    }
}

fn decode(bytes: &[u8]) -> Result<Held, Fault> {
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let parts = bytes.split_first_chunk::<8>().and_then(|(expires, rest)| {
        let (revision, value) = rest.split_first_chunk::<8>()?;
        Some((number(expires), number(revision), value))
    });
    let damaged = || Fault::Other("an entry on disk is damaged".to_owned());
    let (expires, revision, value) = parts.ok_or_else(damaged)?;
    Ok(Held {
        value: Bytes::copy_from_slice(value),
        revision,
        expires: (expires != 0).then_some(expires),
    })
}

fn encode(value: &[u8], revision: u64, expires: Option<Millis>) -> Vec<u8> {
    let expires = expires.unwrap_or(0).to_le_bytes();
    [&expires, revision.to_le_bytes().as_slice(), value].concat()
}

/// What a key has in a table, if its time is not over.
fn look(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    file: &DiskFile,
) -> Result<Option<Held>, Fault> {
    let found = table.get(key).map_err(|error| file.fault(error))?;
    let held = found.map(|found| decode(found.value())).transpose()?;
    Ok(held.filter(|held| !held.is_over(now())))
}

/// A bucket as it is now.
pub(super) struct Reading<'a> {
    table: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    file: &'a DiskFile,
    address: &'a Address,
}

impl<'a> Reading<'a> {
    pub(super) fn of(
        transaction: &ReadTransaction,
        file: &'a DiskFile,
        address: &'a Address,
    ) -> Result<Self, Fault> {
        let table = transaction.open_table(ENTRIES);
        Ok(Self {
            table: table.map_err(|error| file.fault(error))?,
            file,
            address,
        })
    }

    pub(super) fn look(&self, key: &str) -> Result<Option<Held>, Fault> {
        look(&self.table, &self.address.key(key), self.file)
    }

    /// A page; or an error, when it has been left by whoever wanted it.
    pub(super) fn list(&self, wanted: Wanted, left: &CancellationToken) -> Result<Page, Fault> {
        let begin = self.address.key(wanted.begin());
        let mut picker = wanted.picker();
        let now = now();
        let range = (Bound::Included(begin.as_slice()), Bound::Unbounded);
        let found = self.table.range::<&[u8]>(range);
        let found = found.map_err(|error| self.file.fault(error))?;
        for (looked_at, entry) in found.enumerate() {
            if looked_at.is_multiple_of(STRIDE) && left.is_cancelled() {
                return Err(Fault::Other("nobody waits for the page".to_owned()));
            }
            let (key, value) = entry.map_err(|error| self.file.fault(error))?;
            let Some(key) = key.value().strip_prefix(self.address.prefix.as_slice()) else {
                break;
            };
            let expires = value
                .value()
                .first_chunk()
                .map(|it| u64::from_le_bytes(*it));
            let over = expires.is_some_and(|expires| expires != 0 && expires <= now);
            let key = std::str::from_utf8(key);
            let key = key.map_err(|_| Fault::Other("a key on disk is damaged".to_owned()))?;
            if !over && picker.offer(key) {
                break;
            }
        }
        Ok(picker.finish())
    }
}

/// All tables, while a transaction writes.
pub(super) struct Tables<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    due: Table<'t, (Millis, &'static [u8]), ()>,
    used: Table<'t, &'static str, u64>,
    revisions: Table<'t, (), u64>,
    revision: u64,
    file: &'t DiskFile,
    /// The first fault of the disk: then nothing of the transaction may stay.
    broken: Option<Fault>,
}

impl<'t> Tables<'t> {
    pub(super) fn of(
        transaction: &'t WriteTransaction,
        file: &'t DiskFile,
    ) -> Result<Self, redb::Error> {
        let revisions = transaction.open_table(REVISION)?;
        let revision = revisions.get(())?.map_or(0, |last| last.value());
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            due: transaction.open_table(DUE)?,
            used: transaction.open_table(USED)?,
            revisions,
            revision,
            file,
            broken: None,
        })
    }

    /// Ends the transaction.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        if let Some(fault) = self.broken.take() {
            return Err(fault);
        }
        let stored = self.revisions.insert((), self.revision);
        stored.map(drop).map_err(|error| self.file.fault(error))
    }

    fn on_disk<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, redb::Error>,
    ) -> Result<T, Fault> {
        change(self).map_err(|error| {
            let fault = self.file.fault(error);
            self.broken.get_or_insert(fault).clone()
        })
    }

    /// Takes away what nobody can see any more, a little at a time.
    pub(super) fn sweep(&mut self) -> Result<(), Fault> {
        let now = now();
        for _ in 0..SWEPT {
            let first = self.on_disk(|tables| {
                let first = tables.due.first()?;
                Ok(first.map(|(due, _)| (due.value().0, due.value().1.to_vec())))
            })?;
            match first {
                Some((expires, key)) if expires <= now => self.take(&key)?,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes an entry away, with all that is known of it.
    fn take(&mut self, key: &[u8]) -> Result<(), Fault> {
        let old = self.on_disk(|tables| {
            let old = tables.entries.remove(key)?;
            Ok(old.map(|old| decode(old.value())))
        })?;
        let Some(old) = old.transpose()? else {
            return Ok(());
        };
        let tenant = tenant(key)?;
        let freed = Held::charge(key.len(), old.value.len());
        for name in counts(tenant) {
            let used = self.used(name)?.saturating_sub(freed);
            self.on_disk(|tables| keep_count(&mut tables.used, name, used))?;
        }
        self.on_disk(|tables| {
            if let Some(expires) = old.expires {
                tables.due.remove((expires, key))?;
            }
            Ok(())
        })
    }

    /// Sees that there is room for something new of a tenant, in the place of something old.
    fn has_room(&mut self, tenant: &str, old: u64, new: u64) -> Result<(), Fault> {
        let limit = self.file.limit;
        for name in counts(tenant) {
            // What does not grow finds room also where there is more than there may be by now.
            if new > old && self.used(name)?.saturating_sub(old) + new > limit {
                return Err(entries::full(limit));
            }
        }
        Ok(())
    }

    /// Counts something new.
    fn count(&mut self, tenant: &str, new: u64) -> Result<(), Fault> {
        for name in counts(tenant) {
            let used = self.used(name)? + new;
            self.on_disk(|tables| keep_count(&mut tables.used, name, used))?;
        }
        Ok(())
    }

    fn used(&mut self, tenant: &str) -> Result<u64, Fault> {
        self.on_disk(|tables| Ok(tables.used.get(tenant)?.map_or(0, |used| used.value())))
    }
}

/// Whose entry it is.
fn tenant(key: &[u8]) -> Result<&str, Fault> {
    let tenant = key.split(|byte| *byte == 0).next();
    let tenant = tenant.and_then(|tenant| std::str::from_utf8(tenant).ok());
    tenant.ok_or_else(|| Fault::Other("a key on disk is damaged".to_owned()))
}

/// A bucket in a transaction that writes.
pub(super) struct Writing<'a, 't> {
    pub(super) tables: &'a mut Tables<'t>,
    pub(super) address: &'a Address,
}

impl Shelf for Writing<'_, '_> {
    fn look(&self, key: &str) -> Result<Option<Held>, Fault> {
        let (key, file) = (self.address.key(key), self.tables.file);
        look(&self.tables.entries, &key, file)
    }

    fn put(&mut self, key: &str, value: Bytes, expires: Option<Millis>) -> Result<(), Fault> {
        let key = self.address.key(key);
        let tenant = &*self.address.tenant;
        let old = self.tables.on_disk(|tables| {
            let old = tables.entries.get(key.as_slice())?;
            Ok(old.map_or(0, |old| {
                Held::charge(key.len(), old.value().len().saturating_sub(HEAD))
            }))
        })?;
        let new = Held::charge(key.len(), value.len());
        self.tables.has_room(tenant, old, new)?;
        self.tables.take(&key)?;
        self.tables.count(tenant, new)?;
        self.tables.on_disk(|tables| {
            tables.revision += 1;
            let held = encode(&value, tables.revision, expires);
            tables.entries.insert(key.as_slice(), held.as_slice())?;
            if let Some(expires) = expires {
                tables.due.insert((expires, key.as_slice()), ())?;
            }
            Ok(())
        })
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        self.tables.take(&self.address.key(key))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use redb::ReadableDatabase as _;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn write(database: &Database, rows: &[(&str, u64)]) {
        let transaction = database.begin_write().unwrap();
        let mut used = transaction.open_table(USED).unwrap();
        for (name, bytes) in rows {
            used.insert(name, bytes).unwrap();
        }
        drop(used);
        transaction.commit().unwrap();
    }

    fn read(database: &Database, name: &str) -> Option<u64> {
        let transaction = database.begin_read().unwrap();
        let used = transaction.open_table(USED).unwrap();
        let found = used.get(name).unwrap();
        found.map(|found| found.value())
    }

    /// Its tenants that share had a room each.
    #[test]
    fn a_file_of_an_older_host_is_counted_when_it_is_opened() {
        let builder = Database::builder();
        let database = builder.create_with_backend(InMemoryBackend::new()).unwrap();
        create(&database).unwrap();
        let rows = [
            ("a/shared/one", 1),
            ("a/shared/two", 2),
            ("a/workload/shared", 4),
            ("shared/shared/shared", 8),
            ("b/shared", 16),
        ];
        write(&database, &rows);
        for _ in 0..2 {
            create(&database).unwrap();
            assert_eq!(read(&database, "a/shared"), Some(3));
            assert_eq!(read(&database, "shared/shared"), Some(8));
            assert_eq!(read(&database, "b/shared"), None);
            assert_eq!(read(&database, "a/workload"), None);
            for (name, bytes) in &rows[..4] {
                assert_eq!(read(&database, name), Some(*bytes), "{name}");
            }
        }
    }
}
