//! What a guest finds around it: settings, output, clocks, and nothing left by those before it.

use serde_json::json;

use super::Dialect;
use crate::support::TestHost;

pub(crate) async fn the_environment_is_the_components_own(dialect: &Dialect) {
    let host = TestHost::start().await;
    let resources = json!({ "environment": { "config": { "B": "two", "A": "one=1" } } });
    host.run("env", &dialect.spec_with(resources, vec![])).await;
    // Nothing of this process's own environment.
    assert_eq!(host.get("/env").await.body, "A=one=1\nB=two\n");
}

pub(crate) async fn the_nearest_setting_wins(dialect: &Dialect) {
    let host = TestHost::start().await;
    let resources = json!({
        "config": { "b": "component", "c": "component" },
        "environment": { "config": { "c": "environment" } },
    });
    let entry = json!({
        "namespace": "wasi", "package": "config", "interfaces": ["store"],
        "config": { "a": "interface", "b": "interface", "c": "interface" },
    });
    host.run("config", &dialect.spec_with(resources, vec![entry]))
        .await;
    for (key, wanted) in [("a", "interface"), ("b", "component"), ("c", "environment")] {
        let answer = host.get(&format!("/config?key={key}")).await;
        assert_eq!(answer.body, format!("{wanted}\n"), "{key}");
    }
    assert_eq!(host.get("/config?key=none").await.status, 404);
}

pub(crate) async fn output_is_labelled(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("logs", &dialect.spec()).await;
    assert_eq!(host.get("/log").await.body, "logged\n");
    let lines = host.lines(3).await;
    let wanted = [
        ("stdout", "", "out line"),
        ("stderr", "", "err line"),
        ("info", dialect.context, "logged line"),
    ];
    for (source, context, text) in wanted {
        let line = lines.iter().find(|line| line.text == text);
        let line = line.unwrap_or_else(|| panic!("no `{text}` in {lines:?}"));
        assert_eq!(
            (line.workload.as_str(), line.component.as_str()),
            ("logs", "api")
        );
        assert_eq!(
            (line.source.as_str(), line.context.as_str()),
            (source, context)
        );
    }
}

pub(crate) async fn random_numbers_and_clocks_go_on(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("chance", &dialect.spec()).await;
    let (one, two) = (
        host.get("/random").await.body,
        host.get("/random").await.body,
    );
    assert_ne!(one, two);
    let times = |text: String| -> Vec<u128> {
        let numbers = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.parse().unwrap());
        numbers.collect()
    };
    let before = times(host.get("/clock").await.body);
    let after = times(host.get("/clock").await.body);
    let year = 365 * 24 * 3600 * 1_000_000_000_u128;
    assert!(before[0] > 50 * year, "the wall clock says {}", before[0]);
    assert!(after[0] >= before[0], "{before:?} {after:?}");
}

pub(crate) async fn every_request_finds_a_fresh_instance(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("count", &dialect.spec()).await;
    for _ in 0..3 {
        assert_eq!(host.get("/count").await.body, "1\n");
    }
}
