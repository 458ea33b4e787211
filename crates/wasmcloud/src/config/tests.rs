//! What a configuration file may say, and what it is told when it does not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use super::*;
use crate::engine::Allocation;

fn parse(text: &str) -> Result<HostFile, String> {
    HostFile::parse(text, Path::new("/etc/wasmcloud/host.yaml"))
        .map_err(|errors| errors.to_string())
}

/// The file that people copy says the defaults, field by field, and nothing that is not understood.
#[test]
fn the_example_file_is_read_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/wasmcloud.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let example = HostFile::load(&path).unwrap();
    let default = HostConfig::default();
    assert_eq!(example.grace, Some(default.grace));
    assert_eq!(example.replaced_grace, Some(default.replaced_grace));
    assert_eq!(example.http.addr, Some("127.0.0.1:8000".parse().unwrap()));
    assert_eq!(example.http.full_errors, Some(false));
    #[cfg(feature = "http")]
    {
        use crate::capability::http::HttpLimits;
        let mut limits = HttpLimits::default();
        example.http.limits.apply(&mut limits);
        assert_eq!(
            format!("{limits:?}"),
            format!("{:?}", HttpLimits::default())
        );
    }
    // What is commented out is understood as well.
    let whole: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect();
    let whole = HostFile::parse(&whole.join("\n"), &path).unwrap();
    assert!(whole.name.is_some() && whole.data_dir.is_some() && whole.cache_dir.is_some());
    let limits = &whole.http.limits;
    assert!(limits.connections.is_some() && limits.connections_per_client.is_some());
    assert!(
        whole.engine.instances.is_some()
            && whole.engine.pooled.is_some()
            && whole.engine.compilations.is_some()
    );
}

#[test]
fn what_the_file_says_goes_over_the_defaults() {
    let file = parse(
        "name: edge-7\nlabels: { site: north }\ngrace: 5s\nreplacedGrace: 10m\ndataDir: data\ncacheDir: /cache\n\
         engine: { instances: 20, compilations: 2 }\nhttp: { addr: '[::1]:81', errors: full }\n\
         log: { filter: 'info,guest=off', format: json }\n",
    )
    .unwrap();
    assert_eq!(
        file.data_dir.as_deref(),
        Some(Path::new("/etc/wasmcloud/data"))
    );
    assert_eq!(file.cache_dir.as_deref(), Some(Path::new("/cache")));
    assert_eq!(file.log.format, Some(LogFormat::Json));
    let mut config = HostConfig::default();
    file.apply(&mut config);
    assert_eq!(config.friendly_name.as_deref(), Some("edge-7"));
    assert_eq!(config.labels["site"], "north");
    assert_eq!(config.grace, Duration::from_secs(5));
    assert_eq!(config.replaced_grace, Duration::from_secs(600));
    assert_eq!(
        config.engine.allocation,
        Allocation::Pooled { instances: 20 }
    );
    assert_eq!(config.engine.compilations, 2);
    #[cfg(feature = "http")]
    assert_eq!(config.http.unwrap().addr, "[::1]:81".parse().unwrap());
}

#[test]
fn an_empty_file_and_json_are_fine() {
    assert_eq!(parse("").unwrap(), HostFile::default());
    assert_eq!(parse("# nothing\n").unwrap(), HostFile::default());
    let json = parse("{\"engine\": {\"instances\": 7, \"allocation\": \"onDemand\"}}").unwrap();
    let mut options = crate::engine::EngineOptions::default();
    json.engine.apply(&mut options);
    assert_eq!(options.allocation, Allocation::OnDemand { instances: 7 });
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_was_wanted() {
    for (text, told) in [
        (
            "nam: x",
            "host.yaml:1:1: unknown field `nam`\nhint: did you mean `name`?",
        ),
        (
            "http: {adr: x}",
            "host.yaml:1:8: unknown field `adr`\nhint: did you mean `addr`?",
        ),
        (
            "http: {addr: localhost}",
            "host.yaml:1:14: found `localhost`, wanted an address to listen on\nhint: write an IP",
        ),
        (
            "http: {errors: fulll}",
            "found `fulll`, wanted `reference` or `full`\nhint: did you mean `full`?",
        ),
        (
            "grace: 30",
            "host.yaml:1:8: found `30`, wanted a length of time such as `500ms`",
        ),
        ("grace: 30 years", "wanted a length of time"),
        ("grace: 1000h", "wanted at most a week"),
        (
            "engine: {instances: 0}",
            "found 0, wanted a number from 1 to 100000",
        ),
        (
            "engine: {compilations: 0}",
            "found 0, wanted a number from 1 to 1024",
        ),
        (
            "log: {filter: loud}",
            "found `loud`, wanted levels (off, error,",
        ),
        (
            "http: {limits: {bodySize: 5}}",
            "host.yaml:1:27: found `5`, wanted a size such as `512B`",
        ),
        (
            "http: {limits: {streams: 0}}",
            "found 0, wanted a number from 1 to 1000000",
        ),
        ("name: ''", "found ``, wanted a text that is not empty"),
        ("name: [", "host.yaml:1:7: "),
        ("- x", "wanted a mapping"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            error.contains(told),
            "{text}: {told} is missing in\n{error}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = parse("grace: x\nhttp: { addr: y }\nengine: { compilations: -1 }\n").unwrap_err();
    assert_eq!(error.matches("host.yaml:").count(), 3, "{error}");
}
