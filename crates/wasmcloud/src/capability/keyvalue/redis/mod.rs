//! Keys and values on a server of Redis, as plain strings under keys that begin with the tenant and the bucket.
//!
//! There are no revisions on such a server: the version of an entry is a digest of its value, so it is the same again when the value
//! is.

mod bounded;
mod server;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, ToRedisArgs};

use self::server::Again;
pub(super) use self::server::Server;
pub(super) use self::url::ServerUrl;
use super::listing::{Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};

/// How many keys the server looks at in one step of a listing.
const STEP: usize = 1000;

/// What a counter that is below zero is told by.
const NEGATIVE: &str = "NEGATIVE";

/// What one tenant keeps on a server.
pub(crate) struct OnServer {
    server: Arc<Server>,
    prefix: String,
}

impl OnServer {
    pub(super) fn new(server: Arc<Server>, prefix: String) -> Self {
        Self { server, prefix }
    }
}

impl Store for OnServer {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        // What stands between the parts must not be in them, else two buckets could meet.
        let name = name.replace('%', "%25").replace('/', "%2F");
        Arc::new(RedisBucket {
            server: Arc::clone(&self.server),
            prefix: format!("{}{name}/", self.prefix),
        })
    }

    fn trouble(&self) -> Option<String> {
        self.server.trouble()
    }
}

struct RedisBucket {
    server: Arc<Server>,
    prefix: String,
}

impl RedisBucket {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn keys(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.key(key)).collect()
    }

    /// Asks; what only looks may be asked again where the connection broke.
    async fn ask<T: FromRedisValue>(&self, command: Cmd, again: Again) -> Result<T, Fault> {
        self.server.ask(again, &command).await
    }

    /// One page, for which it goes through all keys of the server, whose own order means nothing.
    async fn page(&self, wanted: Wanted) -> Result<Page, Fault> {
        let pattern = format!("{}{}*", literal(&self.prefix), literal(wanted.prefix()));
        let mut picker = wanted.picker();
        let mut cursor = 0_u64;
        // Cursors are those of one process.
        let mut server = self.server.steady().await?;
        loop {
            let mut scan = self.command("SCAN", cursor);
            scan.arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let (next, keys): (u64, Vec<Vec<u8>>) = server.ask(&scan).await?;
            for key in keys {
                let damaged = |_| Fault::Other("a key on the server is no text".to_owned());
                let key = String::from_utf8(key).map_err(damaged)?;
                if let Some(key) = key.strip_prefix(&self.prefix) {
                    picker.offer(key);
                }
            }
            if next == 0 {
                return Ok(picker.finish());
            }
            cursor = next;
        }
    }

    async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        args: &[&[u8]],
        again: Again,
    ) -> Result<T, Fault> {
        let call = |name, script| {
            let mut call = self.command(name, script);
            call.arg(1).arg(self.key(key)).arg(args);
            call
        };
        let known = call("EVALSHA", script.digest);
        match self.server.ask_known(again, &known).await? {
            Some(answer) => Ok(answer),
            // Who does not know it has not done it.
            None => self.ask(call("EVAL", script.text), again).await,
        }
    }

    fn command(&self, name: &str, args: impl ToRedisArgs) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(args);
        command
    }
}

/// What the server carries out as one.
struct Script {
    text: &'static str,
    /// By which a server knows it that has carried it out before: SHA-1 of the text, in hexadecimal digits.
    digest: &'static str,
}

/// A value with its version.
const CURRENT: Script = Script {
    text: "
local value = redis.call('GET', KEYS[1])
if not value then return false end
return {value, redis.sha1hex(value)}",
    digest: "066aa9825783f758c0b7ba47d05a68958e98f7c8",
};

/// Sets a value if the one that is there is the right one; `+` before an argument says that it matters.
const SWAP: Script = Script {
    text: "
local value = redis.call('GET', KEYS[1])
if not value then return false end
local version = redis.sha1hex(value)
local right = (ARGV[2] == '' or ARGV[2] == '+' .. version) and (ARGV[3] == '' or ARGV[3] == '+' .. value)
if not right then return {value, version} end
redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
return {}",
    digest: "978993568a001938bf09a1de10e59f02460d0152",
};

/// Counts by what is not below zero, where the counter is not either: else it is as it was again before anybody sees it. Numbers of
/// scripts are exact up to 2⁵³: beyond, the counter is looked at as text.
const COUNT: Script = Script {
    text: "
if #ARGV[1] > 15 then
  local value = redis.call('GET', KEYS[1])
  if value and string.sub(value, 1, 1) == '-' then return redis.error_reply('NEGATIVE counter') end
end
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count - ARGV[1] < 0 then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('NEGATIVE counter')
end
if count < 9007199254740992 then return count end
return redis.call('GET', KEYS[1])",
    digest: "cdb2f45f24f32db495598738c94b64ca2b45f464",
};

fn entry(value: Vec<u8>, version: String) -> Entry {
    Entry {
        value: value.into(),
        version,
    }
}

/// A text for the part of a pattern that is meant as it is.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

fn required(expected: Option<&[u8]>) -> Vec<u8> {
    expected.map_or_else(Vec::new, |expected| [b"+", expected].concat())
}

#[async_trait]
impl Bucket for RedisBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        let get = self.command("GET", self.key(key));
        let value: Option<Vec<u8>> = self.ask(get, Again::Once).await?;
        Ok(value.map(Bytes::from))
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        let mut set = self.command("SET", self.key(key));
        set.arg(&*value);
        if let Some(ttl) = how.ttl {
            let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            set.arg("PX").arg(millis.max(1));
        }
        if how.if_absent {
            set.arg("NX");
        }
        let done: Option<String> = self.ask(set, Again::Never).await?;
        match done {
            None => Err(Fault::Exists),
            Some(_) => Ok(()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        // Carried out twice, it has done the same.
        let delete = self.command("UNLINK", self.key(key));
        self.ask::<i64>(delete, Again::Once).await.map(drop)
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        let exists = self.command("EXISTS", self.key(key));
        self.ask(exists, Again::Once).await
    }

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        match self.page(wanted.clone()).await {
            // The server may have been started again, and would go on in another order: so it begins anew.
            Err(Fault::Unavailable(_)) => self.page(wanted).await,
            done => done,
        }
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        if sign == Sign::Any {
            let mut count = self.command("INCRBY", self.key(key));
            count.arg(delta);
            return self.ask(count, Again::Never).await;
        }
        let delta = delta.to_string();
        self.script(&COUNT, key, &[delta.as_bytes()], Again::Never)
            .await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        let found: Option<(Vec<u8>, String)> = self.script(&CURRENT, key, &[], Again::Once).await?;
        Ok(found.map(|(value, version)| entry(value, version)))
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        let version = required(expected.version.as_deref().map(str::as_bytes));
        let wanted = required(expected.value.as_deref());
        let args = [&*value, &*version, &*wanted];
        let found: Option<Vec<Vec<u8>>> = self.script(&SWAP, key, &args, Again::Never).await?;
        let Some(found) = found else {
            return Ok(Swap::Stale(None));
        };
        Ok(match <[Vec<u8>; 2]>::try_from(found) {
            Ok([value, version]) => {
                let version = String::from_utf8_lossy(&version).into_owned();
                Swap::Stale(Some(entry(value, version)))
            }
            Err(_) => Swap::Done,
        })
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let get = self.command("MGET", self.keys(&keys));
        let values: Vec<Option<Vec<u8>>> = self.ask(get, Again::Once).await?;
        Ok(values
            .into_iter()
            .map(|value| value.map(Bytes::from))
            .collect())
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        let mut set = redis::cmd("MSET");
        for (key, value) in &pairs {
            set.arg(self.key(key)).arg(&**value);
        }
        self.ask::<String>(set, Again::Never).await.map(drop)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        let delete = self.command("UNLINK", self.keys(&keys));
        self.ask::<i64>(delete, Again::Once).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// By a wrong digest, every call would be made twice.
    #[tokio::test]
    async fn scripts_are_known_by_their_digests() {
        let server = test_servers::Redis::start();
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for script in [CURRENT, SWAP, COUNT] {
            let load = redis::cmd("SCRIPT").arg("LOAD").arg(script.text).clone();
            let digest: String = load.query_async(&mut connection).await.unwrap();
            assert_eq!(digest, script.digest, "{}", script.text);
        }
    }
}
