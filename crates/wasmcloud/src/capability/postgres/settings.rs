//! What an entry of `hostInterfaces` says.

use std::time::Duration;

use super::PostgresOptions;
use super::server::Size;
use super::url::ServerUrl;
use crate::capability::settings::Settings;
use crate::net::dial::NamedBy;
use crate::plugin::PluginError;
use crate::workload::{HostInterface, Workload, duration, quoted};

/// How many connections an entry has, where it does not say.
const CONNECTIONS: usize = 10;
/// How long a call waits for one.
const WAIT: Duration = Duration::from_secs(5);
/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(30);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);
/// More are mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What an entry asks for.
pub(super) struct Wish {
    pub(super) label: Option<String>,
    /// None where the host names the server, and it is not known which host it will be.
    pub(super) url: Option<ServerUrl>,
    pub(super) by: NamedBy,
    pub(super) size: Size,
    pub(super) statement: Duration,
}

/// Reads an entry of a workload. `host`: what the host has, if it is known which one it is.
pub(super) fn read(
    workload: &Workload,
    entry: &HostInterface,
    index: usize,
    id: &str,
    host: Option<&PostgresOptions>,
) -> Result<Wish, Vec<PluginError>> {
    let mut settings = Settings::of(entry, index);
    let own = settings.text("url").is_some();
    let url = settings.parse("url", str::parse::<ServerUrl>);
    let database = settings.text("database");
    if database == Some("") {
        settings.wrong("database", PluginError::new("`database` is empty"));
    }
    let by = if own {
        NamedBy::Workload
    } else {
        NamedBy::Host
    };
    let url = match own {
        true => url,
        false => of_host(workload, &mut settings, database, host),
    };
    let url = match (url, database) {
        (Some(url), Some(database)) => Some(url.with_database(database)),
        (url, _) => url,
    };
    let most = host.map_or(u64::MAX, |host| {
        u64::try_from(host.max_pool).unwrap_or(u64::MAX)
    });
    let size = settings
        .number("pool_size", 1..=most)
        .and_then(|size| usize::try_from(size).ok());
    let of_url = url.as_ref().and_then(|url| url.pool_size);
    let most = host.map_or(usize::MAX, |host| host.max_pool);
    let connections = size.or(of_url).unwrap_or(CONNECTIONS).min(most);
    let size = Size {
        connections,
        wait: time(&mut settings, "pool_wait").unwrap_or(WAIT),
        idle: time(&mut settings, "idle_timeout").unwrap_or(IDLE),
    };
    let statement = time(&mut settings, "statement_timeout").unwrap_or(STATEMENT);
    let errors = settings.finish();
    match errors.is_empty() {
        true => Ok(Wish {
            label: entry.name.clone().filter(|name| name != id),
            url,
            by,
            size,
            statement,
        }),
        false => Err(errors),
    }
}

/// The server of the host, for an entry that names none.
fn of_host(
    workload: &Workload,
    settings: &mut Settings<'_>,
    database: Option<&str>,
    host: Option<&PostgresOptions>,
) -> Option<ServerUrl> {
    let host = host?;
    let Some(url) = &host.url else {
        let error = PluginError::new("`url` is missing: this host has no server of its own");
        let hint = "name one, such as `postgres://user:password@host:5432/database`, or set `postgres.url` in the configuration of the host";
        settings.wrong("url", error.hint(hint));
        return None;
    };
    let Some(wanted) = database.or(url.database()) else {
        let error = PluginError::new(
            "`database` is missing: it says which database of the host's server is meant",
        );
        settings.wrong("database", error);
        return None;
    };
    if !host.grant(workload, wanted) {
        settings.wrong("database", not_granted(workload, database));
    }
    Some(url.clone())
}

/// All workloads log in to the host's server as the same user, so each is given databases by name.
fn not_granted(workload: &Workload, database: Option<&str>) -> PluginError {
    // The one of the URL is not told, like the rest of it.
    let (found, example) = match database {
        Some(database) => (format!("the database {}", quoted(database)), database),
        None => ("its own database".to_owned(), "DATABASE"),
    };
    let message = format!("the server of the host does not give this workload {found}");
    let hint = format!(
        "have the host's configuration grant it, under `postgres.databases`: `{}/{}: [{example}]`; or name a server with `url`",
        workload.namespace, workload.name
    );
    PluginError::new(message).hint(hint)
}

/// A length of time, from a millisecond to a day.
fn time(settings: &mut Settings<'_>, key: &'static str) -> Option<Duration> {
    settings.parse(key, |text| {
        let time = duration(text)?;
        match (Duration::from_millis(1)..=LONGEST).contains(&time) {
            true => Ok(time),
            false => Err(format!("found `{text}`, wanted a time from `1ms` to `24h`")),
        }
    })
}
