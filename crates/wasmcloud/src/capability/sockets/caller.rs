//! Who uses a socket, and what they may do with it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::WorkloadSockets;
use super::fault::Fault;
use super::network::Network;
use super::places::Place;
use super::rules::{self, Way};
use crate::capability::denied;
use crate::plugin::{ComponentContext, Position, Role, StoreData, Telling, WorkloadContext};
use crate::policy::Verdict;
use crate::workload::{Destination, Protocol, RemoteHost};

/// The components that a socket belongs to: it may do what each of them may do. With WASI 0.2 that is the one that asked for the
/// network; with 0.3, where sockets bear no identity, all those of the store that use them.
#[derive(Clone)]
pub(super) struct Caller {
    workload: Arc<WorkloadContext>,
    components: Arc<[Arc<ComponentContext>]>,
    sockets: Arc<WorkloadSockets>,
}

impl Caller {
    /// The component at a position.
    pub(super) fn at(store: &StoreData, position: Position) -> wasmtime::Result<Self> {
        Self::new(store, Arc::new([Arc::clone(store.caller(position)?)]))
    }

    /// Everybody in the store whose sockets bear no identity.
    pub(super) fn all(store: &StoreData) -> wasmtime::Result<Self> {
        let sockets = sockets(store)?;
        let members = store.instance().members.iter();
        let using = members.filter(|member| sockets.sharing.contains(&member.name));
        let components: Arc<[_]> = using.cloned().collect();
        if components.is_empty() {
            wasmtime::bail!("nobody in the store uses sockets");
        }
        Self::new(store, components)
    }

    fn new(store: &StoreData, components: Arc<[Arc<ComponentContext>]>) -> wasmtime::Result<Self> {
        Ok(Self {
            workload: Arc::clone(store.workload()),
            components,
            sockets: sockets(store)?,
        })
    }

    #[cfg(test)]
    pub(super) fn of(
        workload: Arc<WorkloadContext>,
        components: Arc<[Arc<ComponentContext>]>,
        sockets: Arc<WorkloadSockets>,
    ) -> Self {
        Self {
            workload,
            components,
            sockets,
        }
    }

    /// Whether two are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        let mut pairs = self.components.iter().zip(other.components.iter());
        self.components.len() == other.components.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The workload, and its sockets.
    pub(super) fn workload(&self) -> (&Arc<WorkloadContext>, &Arc<WorkloadSockets>) {
        (&self.workload, &self.sockets)
    }

    pub(super) fn components(&self) -> &[Arc<ComponentContext>] {
        &self.components
    }

    pub(super) fn network(&self) -> &Arc<Network> {
        &self.sockets.network
    }

    /// A service, if all of them are.
    pub(super) fn role(&self) -> Role {
        let services = self.components.iter();
        match services
            .map(|component| component.role)
            .all(|role| role == Role::Service)
        {
            true => Role::Service,
            false => Role::Component,
        }
    }

    /// Tells that a component wanted to listen.
    pub(super) fn tell_no_service(&self, to: SocketAddr) {
        let what = format_args!("listening on {to}");
        let denial = "components connect, they do not listen";
        let hint = "what listens is the `service` of a workload; components reach it at 127.0.0.1";
        let components = self.components.iter();
        for component in components.filter(|component| component.role != Role::Service) {
            denied::tell(&self.workload, component, &what, "is denied", &denial, hint);
        }
    }

    /// The addresses of the operating system that an address outside the workload stands for, if it may be reached.
    pub(super) fn exit(
        &self,
        protocol: Protocol,
        to: SocketAddr,
    ) -> Result<Vec<SocketAddr>, Fault> {
        let what = match protocol {
            Protocol::Tcp => format!("a TCP connection to {to}"),
            Protocol::Udp => format!("sending UDP to {to}"),
        };
        let components = self.components.iter();
        match Way::to(to.ip()) {
            Way::Inside => return Err(Fault::AccessDenied),
            Way::Host => {
                let mut all =
                    components.map(|component| self.host(component, protocol, to.port(), &what));
                all.try_for_each(|may| may)?;
                let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                return Ok(local.map(|ip| SocketAddr::new(ip, to.port())).into());
            }
            Way::Outside => {}
        }
        let names = components.clone().map(|component| &component.name);
        let names = self.sockets.known.names_of(names, to.ip());
        for component in components {
            self.outside(component, to, &names, &what)?;
        }
        Ok(vec![to])
    }

    fn host(
        &self,
        component: &ComponentContext,
        protocol: Protocol,
        port: u16,
        what: &dyn Display,
    ) -> Result<(), Fault> {
        let allowed = self.sockets.host.options.allow_host_loopback;
        let may = rules::host_loopback(allowed, &component.host_ports, port, protocol);
        may.map_err(|denial| {
            denied::tell(
                &self.workload,
                component,
                what,
                "is denied",
                &denial,
                denial.hint(self.sockets.host.policy.hints()),
            );
            Fault::AccessDenied
        })
    }

    /// First the manifest: the address, or a name that stands for it, must be allowed. Then the host: the address must be.
    fn outside(
        &self,
        component: &ComponentContext,
        to: SocketAddr,
        names: &[String],
        what: &dyn Display,
    ) -> Result<(), Fault> {
        let policy = &self.sockets.host.policy;
        let destination = |host| Destination {
            scheme: None,
            host,
            port: to.port(),
        };
        let ask = |host| policy.host(&component.allowed_hosts, &destination(host));
        let mut by_name = names.iter().cloned().map(RemoteHost::Name).map(ask);
        let host = match by_name.any(|verdict| verdict == Verdict::Allowed) {
            true => Verdict::Allowed,
            false => ask(RemoteHost::Address(to.ip().to_canonical())),
        };
        for verdict in [host, policy.address(to.ip())] {
            if !denied::passes(&self.workload, component, what, verdict, policy) {
                return Err(Fault::AccessDenied);
            }
        }
        Ok(())
    }

    /// A place for a socket of the operating system.
    pub(super) fn place(&self) -> Result<Place, Fault> {
        self.sockets.places.take().ok_or_else(|| {
            let limit = self.sockets.host.options.max_connections;
            for component in self.components.iter() {
                if component.told.tell("sockets") != Telling::Known {
                    tracing::warn!(
                        workload = %self.workload,
                        component = %component.name,
                        "there is no place for another socket to the outside: the workload has {limit} open at most, or the host has none left"
                    );
                }
            }
            Fault::SocketLimit
        })
    }
}

fn sockets(store: &StoreData) -> wasmtime::Result<Arc<WorkloadSockets>> {
    let sockets = store.workload().states.get_arc();
    sockets.ok_or_else(|| wasmtime::format_err!("the workload has no sockets"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::capability::sockets::testing::{component, group};
    use crate::capability::sockets::{SocketOptions, Sockets};
    use crate::net::resolve::SystemResolver;
    use crate::policy::{EgressMode, EgressOptions, EgressPolicy};

    const COMPONENT: Role = Role::Component;

    fn workload(mode: EgressMode) -> Arc<WorkloadSockets> {
        let policy = EgressPolicy::new(EgressOptions {
            mode,
            ..EgressOptions::default()
        });
        let resolver = Arc::new(SystemResolver::default());
        let sockets = Sockets::new(SocketOptions::default(), policy, resolver);
        Arc::new(sockets.workload(Default::default()))
    }

    fn reaches(caller: &Caller, to: &str) -> bool {
        caller.exit(Protocol::Tcp, to.parse().unwrap()).is_ok()
    }

    /// Sockets of WASI 0.3 may do what each of the components that share them may do.
    #[test]
    fn a_shared_socket_gets_no_more_than_anybody_has() {
        let sockets = workload(EgressMode::Enforce);
        let one = || component("one", COMPONENT, &["1.1.1.1", "8.8.8.8:53"]);
        let two = || component("two", COMPONENT, &["1.1.1.1:443", "9.9.9.9"]);
        let (alone, shared) = (group([one()], &sockets), group([one(), two()], &sockets));
        for (to, reached) in [
            ("1.1.1.1:443", [true, true]),
            ("1.1.1.1:80", [true, false]),
            ("8.8.8.8:53", [true, false]),
            ("9.9.9.9:53", [false, false]),
        ] {
            assert_eq!([reaches(&alone, to), reaches(&shared, to)], reached, "{to}");
        }
        let service = || component("service", Role::Service, &[]);
        assert_eq!(group([service()], &sockets).role(), Role::Service);
        assert_eq!(group([service(), one()], &sockets).role(), COMPONENT);
        assert!(alone.is(&alone) && !alone.is(&shared));
    }

    /// Who looked a name up knows what it stands for; who may reach it is another matter.
    #[test]
    fn a_name_counts_for_those_who_may_reach_it() {
        let sockets = workload(EgressMode::Enforce);
        let one = || component("one", COMPONENT, &["db.example"]);
        let two = || component("two", COMPONENT, &["db.example", "other.example"]);
        let found = ["1.1.1.1".parse().unwrap()];
        sockets.known.learn(&one().name, "db.example", &found);
        sockets.known.learn(&two().name, "other.example", &found);
        let to = "1.1.1.1:5432";
        assert!(reaches(&group([one()], &sockets), to));
        assert!(reaches(&group([two()], &sockets), to));
        assert!(reaches(&group([one(), two()], &sockets), to));
        assert!(!reaches(&group([one()], &sockets), "1.1.1.2:5432"));
        let third = component("third", COMPONENT, &["db.example"]);
        assert!(!reaches(&group([third], &sockets), to));
    }

    #[test]
    fn what_is_audited_passes_except_to_the_machine() {
        let sockets = workload(EgressMode::Audit);
        let nobody = group([component("one", COMPONENT, &[])], &sockets);
        assert!(reaches(&nobody, "1.1.1.1:443") && reaches(&nobody, "169.254.169.254:80"));
        assert!(!reaches(&nobody, "127.255.255.254:80") && !reaches(&nobody, "127.0.0.1:80"));
    }
}
