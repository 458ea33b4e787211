//! `wash new`, `wash completion`, `wash --version`.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::Sandbox;

#[test]
fn a_project_is_made_and_the_next_steps_are_told() {
    let sandbox = Sandbox::new();
    let run = sandbox.run(&["new", "shop"]);
    assert_snapshot!(run.snapshot(), @r"
    exit: 0
    --- stdout
    created shop from http-hello (6 files)
    --- stderr

    next:
      wash dev shop          build it, serve it, reload it when you save
      cat shop/README.md     what is in it
    ");
    assert!(sandbox.read("shop/Cargo.toml").contains("name = \"shop\""));
    assert!(
        sandbox
            .read("shop/workload.yaml")
            .contains("image: ./build/shop.wasm")
    );
    assert_eq!(
        std::fs::read_dir(sandbox.path("")).unwrap().count(),
        1,
        "nothing else is left behind"
    );
}

#[test]
fn a_project_of_several_components_is_made() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .run(&[
            "new",
            "shop",
            "--template",
            "http-chain",
            "--output",
            "json",
        ])
        .succeeded();
    assert_eq!(
        (&run.json()["template"], &run.json()["path"]),
        (&json!("http-chain"), &json!("shop"))
    );
    assert!(
        sandbox
            .read("shop/workload.yaml")
            .contains("  name: shop\n")
    );
    assert!(sandbox.path("shop/front/src/lib.rs").is_file());
}

#[test]
fn the_templates_are_listed() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.run(&["new", "--list"]).snapshot(), @r"
    exit: 0
    --- stdout
    http-hello       One component that answers HTTP requests, on WASI 0.2
    http-hello-p3    The same greeting as `http-hello`, on WASI 0.3: the handler is an `async fn`, bodies are streams that the host and the guest hand to each other directly, and one instance could serve several requests at once
    http-chain       Three components in one workload: `front` takes HTTP requests and asks `greeter` for a greeting, which asks `translator` for the word
    http-middleware  Two components that know nothing of each other: `auth` imports and exports the HTTP handler and lets only requests with the right token through to `api`
    tcp-echo         A TCP server as the service of a workload: it starts with it, keeps its clients for as long as they like, and is started again when it crashes
    tcp-leet         An HTTP component that asks the service of its workload over TCP
    connection-pool  Notes over HTTP, kept in PostgreSQL
    cron             A function that is run by the clock: the manifest says which one, when, and with what
    --- stderr
    ");
    let list = sandbox.run(&["new", "--list", "--output", "json"]).json();
    assert_eq!(list["templates"][2]["name"], "http-chain");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("shop/mine.txt", "mine");
    assert_snapshot!(sandbox.run(&["new", "shop"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: the folder `shop` exists and is not empty
    hint: choose another name, or move what is in it away
    ");
    assert_eq!(std::fs::read_dir(sandbox.path("shop")).unwrap().count(), 1);
    sandbox.write("file", "");
    assert!(
        sandbox
            .run(&["new", "file"])
            .stderr
            .contains("`file` exists and is not a folder")
    );
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(&["new", "empty"]).succeeded();
}

#[test]
fn a_bad_name_and_an_unknown_template_are_usage_errors_with_a_hint() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.run(&["new", "My_Shop"]).snapshot(), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: "My_Shop" cannot be the name of a project; wanted 1 to 63 lower-case letters, digits and `-`, beginning with a letter
    hint: how about `my-shop`?
    "#);
    assert_snapshot!(sandbox.run(&["new", "shop", "--template", "http-helo"]).snapshot(), @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no template `http-helo`
    hint: did you mean `http-hello`? there are `http-hello`, `http-hello-p3`, `http-chain`, `http-middleware`, `tcp-echo`, `tcp-leet`, `connection-pool`, `cron`
    ");
    assert_eq!(sandbox.run(&["new"]).code, Some(2));
    let json = sandbox
        .run(&["new", "shop", "--template", "x", "--output", "json"])
        .json();
    assert_eq!(json["error"]["message"], "there is no template `x`");
    assert_eq!(
        std::fs::read_dir(sandbox.path("")).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn a_shell_can_be_taught_the_commands() {
    let sandbox = Sandbox::new();
    assert!(
        sandbox
            .run(&["completion", "bash"])
            .succeeded()
            .stdout
            .contains("_wash()")
    );
    assert!(
        sandbox
            .run(&["--version"])
            .succeeded()
            .stdout
            .starts_with("wash 0.")
    );
    assert_eq!(sandbox.run(&["biuld"]).code, Some(2));
}
