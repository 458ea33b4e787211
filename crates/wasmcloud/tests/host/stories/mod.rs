//! What both HTTP guests must show, WASI 0.2 and 0.3 alike: each story is told with one and with the other.

pub(crate) mod denials;
pub(crate) mod exchange;
pub(crate) mod misbehaviour;
pub(crate) mod surroundings;
pub(crate) mod versions;

use serde_json::{Value, json};

use crate::support::{component, http, spec};

/// One of the two guests.
pub(crate) struct Dialect {
    /// Where its component is.
    pub(crate) image: &'static str,
    /// What it says at `/hello`.
    pub(crate) hello: &'static str,
    /// The context of its log calls.
    pub(crate) context: &'static str,
}

pub(crate) const P2: Dialect = Dialect {
    image: test_guests::HTTP_P2,
    hello: "Hello from WASI 0.2\n",
    context: "http-p2",
};

pub(crate) const P3: Dialect = Dialect {
    image: test_guests::HTTP_P3,
    hello: "Hello from WASI 0.3\n",
    context: "http-p3",
};

impl Dialect {
    /// A workload of the guest under the name `api`, which answers every request.
    pub(crate) fn spec(&self) -> Value {
        spec([self.component()], [http()])
    }

    pub(crate) fn component(&self) -> Value {
        component("api", self.image)
    }

    /// The same with limits, variables and so on beside the component.
    pub(crate) fn spec_with(&self, resources: Value, interfaces: Vec<Value>) -> Value {
        let mut component = self.component();
        component["localResources"] = resources;
        let mut entries = vec![http()];
        entries.extend(interfaces);
        json!({ "components": [component], "hostInterfaces": entries })
    }
}

/// Makes each story a test of the module that names a dialect.
macro_rules! tell {
    ($dialect:path: $($part:ident::{$($story:ident),+ $(,)?})+) => {
        $($(
            #[tokio::test]
            async fn $story() {
                crate::stories::$part::$story(&$dialect).await;
            }
        )+)+
    };
    (threaded $dialect:path: $($part:ident::{$($story:ident),+ $(,)?})+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                crate::stories::$part::$story(&$dialect).await;
            }
        )+)+
    };
}

pub(crate) use tell;
