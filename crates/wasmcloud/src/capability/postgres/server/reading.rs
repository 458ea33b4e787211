//! Rows on their way: read when they are taken.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::types::{FromSql, Type};

use super::super::convert::{Space, decode};
use super::super::gate::Gate;
use super::super::{Fault, Row, Rows, Value};
use super::long_rows::FREE;
use super::{OPEN, Running, fault};

/// The rows of a statement that runs.
pub(super) struct Reading {
    /// None when it is over.
    running: Option<Running>,
    first: Option<tokio_postgres::Row>,
}

impl Reading {
    /// Waits for the first row: what fails before it, fails as a whole.
    pub(super) async fn begin(running: Running) -> Result<Self, Fault> {
        let mut reading = Self {
            running: Some(running),
            first: None,
        };
        reading.first = reading.read().await?;
        Ok(reading)
    }

    pub(super) fn into_rows(self) -> Rows {
        let rows = stream::unfold(self, |mut reading| async move {
            let row = reading.next().await.transpose()?;
            Some((row, reading))
        });
        rows.boxed()
    }

    async fn next(&mut self) -> Result<Option<Row>, Fault> {
        let row = match self.first.take() {
            Some(row) => Some(row),
            None => self.read().await?,
        };
        let (Some(row), Some(running)) = (row, &self.running) else {
            return Ok(None);
        };
        let made = decoded(&row, running);
        let is_long = made.as_ref().is_ok_and(|made| made.bytes > FREE);
        let gate = is_long.then(|| running.made.clone());
        drop(row);
        let row = match (made, gate) {
            (Ok(made), Some(gate)) => held(made, &gate).await,
            (made, _) => made,
        };
        if row.is_err() {
            // What is still to come is of no use to anybody.
            self.running = None;
        }
        row.map(Some)
    }

    /// The next row from the server. Without one, it is over.
    async fn read(&mut self) -> Result<Option<tokio_postgres::Row>, Fault> {
        let Some(running) = &mut self.running else {
            return Ok(None);
        };
        let read = running.clock.within(running.rows.try_next()).await;
        let row = match read {
            Ok(Ok(Some(row))) => return Ok(Some(row)),
            Ok(row) => row,
            Err(fault) => {
                self.running = None;
                return Err(fault);
            }
        };
        let Some(mut running) = self.running.take() else {
            return Ok(None);
        };
        let session = running.lease.session()?;
        match row {
            Ok(_) => {
                let open = session.seen.in_transaction();
                running.lease.end();
                match open {
                    true => Err(Fault::Query(OPEN.to_owned())),
                    false => Ok(None),
                }
            }
            Err(error) => {
                let told = fault::of_statement(&error, &session.seen, running.clock.is_over());
                if fault::is_lost(&error) {
                    running.lease.lose();
                } else if error.as_db_error().is_some() {
                    running.lease.end();
                }
                Err(told)
            }
        }
    }
}

fn decoded(row: &tokio_postgres::Row, running: &Running) -> Result<Row, Fault> {
    let mut space = Space::of(running.space);
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(index, column)| {
        let unread = |why: &str| {
            let (name, ty) = (column.name(), column.type_());
            Fault::Conversion(format!(
                "column {} `{name}` of type `{ty}`: {why}",
                index + 1
            ))
        };
        let raw: Option<Raw<'_>> = row.try_get(index).map_err(|_| unread("it is not there"))?;
        match raw {
            None => Ok(Value::Null),
            Some(Raw(raw)) => {
                let value = decode(column.type_(), raw, running.locale, &mut space);
                value.map_err(|why| unread(&why.0))
            }
        }
    });
    let values = values.collect::<Result<Vec<Value>, Fault>>()?;
    let bytes = size_of_val(values.as_slice()) + space.taken();
    Ok(Row {
        values,
        bytes,
        held: None,
    })
}

/// A row with room for it.
async fn held(row: Row, gate: &Gate) -> Result<Row, Fault> {
    let held = Some(gate.admit(row.bytes).await?);
    Ok(Row { held, ..row })
}

/// The bytes of a value.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
