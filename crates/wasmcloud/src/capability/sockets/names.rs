//! Looking up names. What means the workload itself is answered here; every other name needs a grant, and no address is handed out
//! that the egress policy would not let anybody connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::caller::Caller;
use super::rules::{HOST, Way};
use crate::capability::denied::passes;
use crate::net::resolve::ResolveError;
use crate::plugin::{ComponentContext, WorkloadContext};
use crate::policy::EgressPolicy;
use crate::workload::RemoteHost;

/// The zone of names that are answered without asking anybody.
const ZONE: &str = "wasmcloud.internal";

/// How many names a workload has looked up at once; further ones wait.
pub(super) const LOOKUPS: usize = 16;

/// How many addresses of an answer a guest is told.
const MOST: usize = 64;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupFault {
    /// The component may not look up the name.
    #[error("the name may not be looked up")]
    NotGranted,
    /// The name has addresses, and none may be reached.
    #[error("nothing that the name stands for may be reached")]
    Prohibited,
    /// It is no name.
    #[error("this is no name")]
    Invalid,
    /// There is no such name, or it has no addresses.
    #[error("the name has no addresses")]
    Unresolvable,
}

type Answer = Result<Vec<IpAddr>, LookupFault>;

/// What is known without asking.
fn at_once(host: &RemoteHost) -> Option<Answer> {
    let name = match host {
        RemoteHost::Address(address) => return Some(Ok(vec![*address])),
        RemoteHost::Name(name) => name.as_str(),
    };
    if name == "localhost" || name.ends_with(".localhost") {
        let both = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Some(Ok(both));
    }
    // One family: services listen on IPv4, and not every guest tries a second address well.
    let inside = || vec![Ipv4Addr::LOCALHOST.into()];
    let label = match name.strip_suffix(ZONE)? {
        "" => return Some(Err(LookupFault::Unresolvable)),
        rest => rest.strip_suffix('.')?,
    };
    Some(match label {
        "service" => Ok(inside()),
        "host" => Ok(vec![HOST.into()]),
        _ if label.ends_with(".svc") => Ok(inside()),
        _ => Err(LookupFault::Unresolvable),
    })
}

/// A host as a guest writes it, which may have letters that DNS does not know.
fn read(text: &str) -> Option<RemoteHost> {
    if text.is_ascii() {
        return RemoteHost::to_look_up(text);
    }
    RemoteHost::to_look_up(&idna::domain_to_ascii(text).ok()?)
}

/// Looks up a name for a component. Nothing is done before the future is polled.
pub(super) async fn look_up(caller: Caller, text: String) -> Answer {
    let host = read(&text).ok_or(LookupFault::Invalid)?;
    if let Some(answer) = at_once(&host) {
        return answer;
    }
    let RemoteHost::Name(name) = &host else {
        return Err(LookupFault::Invalid);
    };
    let (workload, sockets) = caller.workload();
    let policy = &sockets.host.policy;
    let what = format_args!("looking up {name}").to_string();
    for component in caller.components() {
        let verdict = policy.name(&component.allowed_names, &host);
        if !passes(workload, component, &what, verdict, policy) {
            return Err(LookupFault::NotGranted);
        }
    }
    let found = ask(&caller, name.clone()).await?;
    let reachable = |address: &IpAddr| {
        let mut components = caller.components().iter();
        components.all(|component| may_reach(workload, component, *address, &what, policy))
    };
    let some = !found.is_empty();
    let found: Vec<IpAddr> = found.into_iter().filter(reachable).take(MOST).collect();
    if found.is_empty() {
        return Err(match some {
            true => LookupFault::Prohibited,
            false => LookupFault::Unresolvable,
        });
    }
    for component in caller.components() {
        sockets.known.learn(&component.name, name, &found);
    }
    Ok(found)
}

/// Asks the resolver. It goes on when nobody waits for it any more, and counts until it is done: else a guest that is in a hurry
/// could keep every thread of the resolver busy.
async fn ask(caller: &Caller, name: String) -> Answer {
    let (_, sockets) = caller.workload();
    let permit = Arc::clone(&sockets.lookups).acquire_owned().await;
    let resolver = Arc::clone(&sockets.host.resolver);
    let lookup = tokio::spawn(async move {
        let _permit = permit;
        resolver.resolve(&name).await
    });
    match lookup.await {
        Ok(Ok(found)) => Ok(found
            .into_iter()
            .map(|address| address.to_canonical())
            .collect()),
        Ok(Err(ResolveError::NotFound)) => Err(LookupFault::Unresolvable),
        Ok(Err(ResolveError::Failed(error))) => {
            tracing::debug!("a name was not found: {error}");
            Err(LookupFault::Unresolvable)
        }
        Err(error) => {
            tracing::error!("the resolver crashed: {error}");
            Err(LookupFault::Unresolvable)
        }
    }
}

/// Whether anybody may reach an address that a resolver gave. What is the workload's own loopback comes from no resolver.
fn may_reach(
    workload: &WorkloadContext,
    component: &ComponentContext,
    address: IpAddr,
    what: &str,
    policy: &EgressPolicy,
) -> bool {
    passes(workload, component, &what, policy.address(address), policy)
        && Way::to(address) == Way::Outside
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn answer(name: &str) -> Option<Answer> {
        at_once(&read(name).unwrap())
    }

    fn known(addresses: &[&str]) -> Option<Answer> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Some(Ok(addresses.collect()))
    }

    #[test]
    fn the_workload_knows_itself() {
        for name in ["localhost", "LocalHost.", "db.localhost"] {
            assert_eq!(answer(name), known(&["127.0.0.1", "::1"]), "{name}");
        }
        for name in [
            "service.wasmcloud.internal",
            "Service.WasmCloud.Internal.",
            "db.svc.wasmcloud.internal",
            "a.b.svc.wasmcloud.internal",
        ] {
            assert_eq!(answer(name), known(&["127.0.0.1"]), "{name}");
        }
        let host = known(&["127.255.255.254"]);
        assert_eq!(answer("host.wasmcloud.internal"), host);
    }

    #[test]
    fn what_the_zone_does_not_have_nobody_is_asked_for() {
        for name in [
            "wasmcloud.internal",
            "other.wasmcloud.internal",
            "svc.wasmcloud.internal",
            "x.host.wasmcloud.internal",
        ] {
            assert_eq!(answer(name), Some(Err(LookupFault::Unresolvable)), "{name}");
        }
        for name in [
            "notwasmcloud.internal",
            "example.com",
            "wasmcloud.internal.example",
        ] {
            assert_eq!(answer(name), None, "{name}");
        }
    }

    #[test]
    fn addresses_answer_for_themselves() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("169.254.169.254", "169.254.169.254"),
        ] {
            assert_eq!(
                answer(text),
                Some(Ok(vec![address.parse().unwrap()])),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_read_as_dns_has_them() {
        let name = |text: &str| read(text).map(|host| host.to_string());
        assert_eq!(
            name("Bücher.Example").as_deref(),
            Some("xn--bcher-kva.example")
        );
        assert_eq!(name("EXAMPLE.com.").as_deref(), Some("example.com"));
        for text in [
            "",
            ".",
            "a b",
            "127.1",
            "0x7f.1",
            "a..b",
            "exa\u{0}mple",
            "[::1",
            "http://a",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
