//! Sockets: the network inside a workload, and what of the outside guests may reach.

use serde_json::{Value, json};

use crate::support::{TestHost, component, http_at, spec, with_environment};

mod inside;
mod names;
mod outside;

/// The guests that do what a script says, and what they call what is denied.
struct Guest {
    name: &'static str,
    image: &'static str,
    handler: &'static str,
    denied: &'static str,
}

const P2: Guest = Guest {
    name: "p2",
    image: test_guests::NET_P2,
    handler: "wasi:http/incoming-handler@0.2.12",
    denied: "PermissionDenied",
};

const P3: Guest = Guest {
    name: "p3",
    image: test_guests::NET_P3,
    handler: "wasi:http/handler@0.3.0",
    denied: "access-denied",
};

impl Guest {
    /// A component that answers under a host name.
    fn spec(&self, name: &str, resources: Value) -> Value {
        let mut component = component("client", self.image);
        component["localResources"] = resources;
        let mut spec = spec([component], [http_at(json!({ "host": name }))]);
        // A service may be a handler as well.
        spec["links"] = json!([{ "import": self.handler, "to": "client" }]);
        spec
    }
}

impl Guest {
    /// The command that tells the other side that nothing more comes.
    fn shut(&self) -> &'static str {
        match self.name {
            "p2" => "shut,0,write",
            _ => "shut,0",
        }
    }
}

/// A workload with a service added to it, which runs a script.
fn with_service(mut spec: Value, image: &str, script: &str) -> Value {
    let environment = json!({ "SCRIPT": script, "LISTEN": "127.0.0.1:7000" });
    spec["service"] = with_environment(json!({ "image": image }), environment);
    spec
}

/// A service alone, which runs a script.
fn service(image: &str, script: &str) -> Value {
    with_service(
        json!({ "components": [], "hostInterfaces": [] }),
        image,
        script,
    )
}

/// Runs a script on the component that answers under a host name; gives the answers.
async fn run(host: &TestHost, name: &str, script: &str) -> Vec<String> {
    let answer = host.get_from(name, &format!("/run?{script}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(str::to_owned).collect()
}

/// Waits until guests have said as many lines, and gives them all.
async fn said(host: &TestHost, wanted: usize) -> Vec<String> {
    let lines = host.lines(wanted).await;
    lines.into_iter().map(|line| line.text).collect()
}

/// The guests of these tests.
pub(crate) use inside::{net_p2, net_p3, net_wstd};
