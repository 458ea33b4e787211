//! Two components in one workload must not see each other's settings: this one shows its own beside its sibling's.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "id-front", generate_all });

struct Front;

impl Guest for Front {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        println!("front line");
        let env = std::env::var("WHO").unwrap_or_else(|_| "unset".to_owned());
        let config = wasi::config::store::get("who")
            .ok()
            .flatten()
            .unwrap_or_else(|| "unset".to_owned());
        let back = test::identity::who::who();
        reply::text(out, &format!("front env={env} config={config}; {back}\n"));
    }
}

wasip2::http::proxy::export!(Front with_types_in wasip2);
