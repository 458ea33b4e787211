//! A connection with what is known of its session: statements that are prepared, and what has to be put right before somebody else
//! gets it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{CancelToken, Client, Error, Statement};
use tokio_util::sync::DropGuard;

use super::super::convert::{Locale, is_money};
use super::super::recent::Recent;
use super::connect::Connected;
use super::room::Place;
use super::watch::{Heard, Seen};

/// How many statements a session keeps prepared …
const STATEMENTS: usize = 64;
/// … of at most so many bytes, and of which the server says no more than that.
const LONGEST: usize = 16 << 10;
/// How much a server may say of a statement and its types.
const OF_STATEMENT: usize = 1 << 20;
/// How much of what it has said of types is kept.
const OF_TYPES: usize = 64 << 10;
/// How long putting a session right may take.
const RESET: Duration = Duration::from_secs(5);

/// As `DISCARD ALL`, apart from the statements that are prepared: the client knows them.
const AS_NEW: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// What functions and clauses change a session although the command is a `SELECT`.
const CHANGING: [&str; 3] = ["set_config", "advisory_lock", "into"];

/// A session.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) seen: Arc<Seen>,
    statements: Recent<String, Statement>,
    money: Option<u32>,
    /// How much the server has said of types that the client knows by now.
    of_types: usize,
    /// Whether something was done that may have changed it.
    changed: bool,
    _driven: DropGuard,
    /// Its place among those of the host.
    _place: Place,
}

impl Session {
    pub(super) fn new(connected: Connected, place: Place) -> Self {
        Self {
            client: connected.client,
            seen: connected.seen,
            statements: Recent::new(STATEMENTS),
            money: None,
            of_types: 0,
            changed: false,
            _driven: connected.driven,
            _place: place,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether nothing can put it right, or its connection takes more memory than one that nobody uses may.
    pub(super) fn is_spoilt(&self) -> bool {
        self.is_closed()
            || self.seen.statements_changed()
            || self.seen.wanted_copy()
            || self.seen.too_long().is_some()
            || self.seen.said_too_much()
            || self.seen.was_long()
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// A statement, prepared now or before. Says which.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<(Statement, bool), Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok((statement, true));
        }
        self.seen.limit(OF_STATEMENT);
        let prepared = self.client.prepare(sql).await;
        let heard = self.seen.unlimit();
        self.learned(heard);
        let statement = prepared?;
        if sql.len() <= LONGEST && heard.bytes <= LONGEST {
            self.statements.insert(sql.to_owned(), statement.clone());
        }
        Ok((statement, false))
    }

    /// The client keeps what it hears of types. Where that is much, it starts again: a server could tell of others without end.
    fn learned(&mut self, heard: Heard) {
        // One answer is about the statement itself.
        if heard.answers > 1 {
            self.of_types = self.of_types.saturating_add(heard.bytes);
        }
        if self.of_types > OF_TYPES {
            self.client.clear_type_cache();
            self.of_types = 0;
        }
    }

    /// The statement is to be prepared anew.
    pub(super) fn forget(&mut self, sql: &str) {
        self.statements.remove(sql);
    }

    /// What values of the statement need to know.
    pub(super) async fn locale(&mut self, statement: &Statement) -> Result<Locale, Error> {
        let columns = statement
            .columns()
            .iter()
            .map(tokio_postgres::Column::type_);
        if !statement.params().iter().chain(columns).any(is_money) {
            return Ok(Locale::default());
        }
        if self.money.is_none() {
            self.seen.limit(OF_STATEMENT);
            let row = self.client.query_one("SELECT 1::numeric::money", &[]).await;
            let heard = self.seen.unlimit();
            self.learned(heard);
            let Units(one) = row?.try_get(0)?;
            self.money = Some(one.max(1).ilog10());
        }
        Ok(Locale { money: self.money })
    }

    /// A statement was sent: what the server calls it may not tell all that it does.
    pub(super) fn sent(&mut self, sql: &str) {
        let sql = sql.to_ascii_lowercase();
        let inserts = sql.trim_start().starts_with("insert");
        self.changed |= CHANGING
            .iter()
            .any(|word| sql.contains(word) && !(inserts && *word == "into"));
    }

    /// It was not said how far a batch came.
    pub(super) fn broke_off(&mut self) {
        self.changed = true;
    }

    /// Whether it has to be put right before somebody else gets it.
    pub(super) fn is_changed(&mut self) -> bool {
        self.changed |= self.seen.take_session_changed() | self.seen.in_transaction();
        self.changed
    }

    /// Makes it as a new one is. `false`: it is of no use any more.
    pub(super) async fn put_right(&mut self, statement: Duration) -> bool {
        let millis = statement.as_millis();
        // A transaction that has failed takes nothing but its end.
        let reset = format!("ROLLBACK; {AS_NEW}; SET statement_timeout = {millis}");
        let done = timeout(RESET, self.client.batch_execute(&reset)).await;
        // It is itself what the server calls a change, except that it was asked for.
        self.seen.take_session_changed();
        self.changed = false;
        matches!(done, Ok(Ok(()))) && !self.seen.in_transaction()
    }
}

/// An amount of money in its smallest units.
struct Units(i64);

impl FromSql<'_> for Units {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::MONEY
    }
}
