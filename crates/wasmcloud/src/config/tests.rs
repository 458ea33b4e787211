//! What a configuration file may say, and what it is told when it does not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
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
    assert_eq!(written(&example), written(&HostFile::default()));
    // What is commented out is understood as well, and nothing is left out.
    let whole: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect();
    let whole = HostFile::parse(&whole.join("\n"), &path).unwrap();
    // A plugin is a file or an image, and a file is not pulled.
    let whole = format!("{whole:?}").replace("Pull { policy: None, secret: None }", "");
    let missing = |word| whole.contains(word);
    assert!(!missing("None") && !missing(": Default"), "{whole}");
}

/// What a host has of a file, so far as it can be compared.
fn written(file: &HostFile) -> String {
    let mut config = HostConfig::default();
    file.apply(&mut config);
    let mut text = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        config.grace,
        config.replaced_grace,
        config.limits,
        config.egress,
        config.volumes,
        config.restarts,
        config.sockets
    );
    #[cfg(feature = "http")]
    text.push_str(&format!(" {:?}", config.http_client));
    #[cfg(feature = "keyvalue")]
    text.push_str(&format!(" {:?}", config.keyvalue));
    #[cfg(feature = "postgres")]
    text.push_str(&format!(" {:?}", config.postgres));
    #[cfg(feature = "blobstore")]
    text.push_str(&format!(" {:?}", config.blobstore));
    #[cfg(feature = "servers")]
    text.push_str(&format!(" {:?}", config.backend_authorities));
    #[cfg(feature = "oci")]
    text.push_str(&format!(" {:?}", config.images));
    text
}

/// A default that the page shows is one: written into a file, it changes nothing.
#[test]
fn the_page_about_the_file_shows_the_defaults() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/host-config.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let mut sections = 0;
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, field, default, ..] = cells[..] else {
            panic!("{row}")
        };
        let code = |cell: &str| {
            let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
            (!inner.contains('`')).then(|| inner.to_owned())
        };
        let Some((field, default)) = code(field).zip(code(default)) else {
            continue;
        };
        let depth = field.matches('.').count();
        let file = format!(
            "{{{}: '{default}'{}}}",
            field.replace('.', ": {"),
            "}".repeat(depth)
        );
        let bare = ["false", "true"].contains(&default.as_str())
            || default.starts_with('[')
            || default.parse::<u32>().is_ok();
        let file = if bare { file.replace('\'', "") } else { file };
        let file = parse(&file).unwrap_or_else(|error| panic!("{row}\n{error}"));
        assert_eq!(written(&file), written(&HostFile::default()), "{row}");
        sections += usize::from(depth > 0);
    }
    assert!(sections > 30, "{sections}");
}

/// What stands in the file that people copy stands on the page, and the other way round.
#[test]
fn the_page_about_the_file_has_every_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (docs, example) = (read("docs/host-config.md"), read("deploy/wasmcloud.yaml"));
    for line in example.lines().map(|line| line.trim_start_matches("#:")) {
        let Some((key, _)) = line.trim().split_once(':') else {
            continue;
        };
        if key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let stands = ["`", "."]
                .iter()
                .any(|before| docs.contains(&format!("{before}{key}")));
            assert!(stands, "{key} is not on the page");
        }
    }
}

#[test]
fn plugins_are_read_with_everything_that_is_wrong_with_them() {
    let file = parse(
        "hostPlugins:\n  - { id: ledger, file: ledger.wasm, allowedHosts: ['https://a.example'], timeoutMs: 5, poolSize: 2 }\n",
    );
    let plugin = file.unwrap().host_plugins.remove(0);
    assert_eq!(plugin.component.name.as_str(), "ledger");
    assert_eq!(
        plugin.component.image.to_string(),
        "/etc/wasmcloud/ledger.wasm"
    );
    assert_eq!(plugin.component.local_resources.allowed_hosts.len(), 1);

    assert_eq!((plugin.max_restarts, plugin.expected_digest), (None, None));
    let file = parse("hostPlugins: [{ id: ledger, file: a.wasm, maxRestarts: 0 }]\n").unwrap();
    assert_eq!(file.host_plugins[0].max_restarts, Some(0));

    let wrong = parse(
        "hostPlugins:\n  - { id: Ledger, allowedHosts: ['https://*'], maxInvocations: 1 }\n  - { id: one, file: a }\n  \
         - { id: one, file: b, expectedDigest: 'sha256:0' }\n  - { id: two, file: b, cpuLimit: 0 }\n  \
         - { id: service, file: b }\n  - { id: three, image: registry.example/X:1, pullPolicy: Alway }\n  - { id: five, file: a, image: r.example/x:1 }\n  - { id: six, file: a, pullPolicy: Always }\n  \
         - { id: four, file: b, maxRestarts: -1, configFrom: [a], secretFrom: [b], ports: [{ port: 1 }] }\n",
    );
    let wrong = wrong.unwrap_err();
    for told in [
        "has neither `file` nor `image`",
        "`Ledger` is no component name",
        "`maxInvocations` has no effect without `poolSize`",
        "a plugin `one` is there already",
        "wanted `sha256:`",
        "wanted a number from 1",
        "wanted a number from 0",
        "cannot be called `service`",
        "a repository is of lower-case letters",
        "`Alway` is no pull policy",
        "both `file` and `image`",
        "`pullPolicy` is for an `image`",
        "`configFrom` is not supported for plugins",
        "`secretFrom` is not supported for plugins",
        "`ports` is not supported for plugins",
    ] {
        assert!(wrong.contains(told), "{told} is missing in:\n{wrong}");
    }
}

#[test]
fn sections_go_over_the_defaults_and_leave_the_rest() {
    use crate::policy::EgressMode;
    use crate::workload::Mebibytes;

    let file = parse(
        "limits: { memory: { most: 64MiB }, cpu: { default: none }, workloadMemory: 10MiB, waiting: 0 }\n\
         egress: { mode: audit, allow: [127.0.0.1/32, 'fd00::/8'] }\n\
         volumes: { roots: [data, /srv], largestEphemeral: none, ephemeralSize: 2GiB }\n\
         http: { client: { trust: extra-only, extraCaFiles: [ca.pem], connections: 9, headSize: 8KiB } }\n",
    )
    .unwrap();
    let mut config = HostConfig::default();
    file.apply(&mut config);
    let limits = &config.limits;
    assert_eq!(
        (limits.memory.default, limits.memory.most),
        (Some(256 << 20), Some(64 << 20))
    );
    assert_eq!((limits.cpu.default, limits.waiting), (None, 0));
    assert_eq!(limits.workload_memory, Some(10 << 20));
    assert_eq!(limits.time.default, Some(Duration::from_secs(300)));
    assert_eq!(config.egress.mode, EgressMode::Audit);
    assert_eq!(config.egress.allow.len(), 2);
    assert!(!config.egress.allow_private);
    let volumes = &config.volumes;
    assert_eq!(
        volumes.roots,
        [Path::new("/etc/wasmcloud/data"), Path::new("/srv")]
    );
    assert_eq!(
        (volumes.largest_ephemeral, volumes.ephemeral_size),
        (None, Mebibytes(2048))
    );
    #[cfg(feature = "http")]
    {
        use crate::capability::http::TrustRoots;
        let client = &config.http_client;
        assert_eq!(client.trust, TrustRoots::ExtraOnly);
        assert_eq!(client.extra_ca_files, [Path::new("/etc/wasmcloud/ca.pem")]);
        assert_eq!(
            (client.max_connections_of_host, client.max_response_head),
            (Some(9), 8192)
        );
    }
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

/// Each text is refused, and told something.
fn refused(cases: &[(&str, &str)]) {
    for (text, told) in cases {
        let error = parse(text).unwrap_err();
        assert!(
            error.contains(told),
            "{text}: {told} is missing in\n{error}"
        );
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_was_wanted() {
    refused(&[
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
    ]);
}

#[test]
fn what_is_wrong_with_limits_and_networks_and_folders_is_told_as_well() {
    refused(&[
        (
            "limits: {memory: {most: 5}}",
            "host.yaml:1:25: found `5`, wanted a size such as `512B`, `64KiB`, `10MiB` or `1GiB`, or `none` for no limit",
        ),
        (
            "limits: {cpu: {default: 0s}}",
            "host.yaml:1:25: found `0s`, wanted more than no time, or `none` for no limit",
        ),
        (
            "limits: {time: {default: 2m, most: 1m}}",
            "host.yaml:1:26: `default` is more than `most` allows\nhint: lower it",
        ),
        (
            "limits: {time: {default: none, most: 1m}}",
            "`default` is more than `most` allows",
        ),
        (
            "limits: {memoryMb: 5}",
            "unknown field `memoryMb`\nhint: did you mean `memory`?",
        ),
        (
            "egress: {allow: [10.0.0.0/8, 10.1.2.3/16, localhost]}",
            "host.yaml:1:30: found `10.1.2.3/16`, wanted the network `10.1.0.0/16` or the one address `10.1.2.3/32`",
        ),
        (
            "egress: {allow: [127.0.0.1]}",
            "host.yaml:1:18: found `127.0.0.1`, wanted a network such as `10.1.0.0/16`, or `127.0.0.1/32`",
        ),
        (
            "egress: {mode: off}",
            "found `off`, wanted `enforce` or `audit`",
        ),
        ("egress: {allowPrivate: perhaps}", "host.yaml:1:24: "),
        (
            "volumes: {ephemeralSize: 1KiB}",
            "host.yaml:1:26: found `1KiB`, wanted whole MiB",
        ),
        (
            "volumes: {ephemeralSize: 2MiB, largestEphemeral: 1MiB}",
            "host.yaml:1:26: `ephemeralSize` is more than `largestEphemeral` allows",
        ),
        (
            "volumes: {roots: [/srv, '']}",
            "host.yaml:1:25: found ``, wanted a text that is not empty",
        ),
        (
            "http: {client: {trust: natve}}",
            "hint: did you mean `native`?",
        ),
        (
            "http: {client: {headSize: 4KiB}}",
            "found `4KiB`, wanted a size from `8KiB` to `16MiB`",
        ),
    ]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = parse("grace: x\nhttp: { addr: y }\nengine: { compilations: -1 }\n").unwrap_err();
    assert_eq!(error.matches("host.yaml:").count(), 3, "{error}");
}

#[test]
fn the_waits_of_services_make_sense() {
    let text = "services: { firstRestart: 1s, longestRestart: 5m, healthyAfter: 10m }\n";
    let mut config = HostConfig::default();
    parse(text).unwrap().apply(&mut config);
    let restarts = config.restarts;
    assert_eq!(
        [restarts.first, restarts.longest, restarts.healthy].map(|it| it.as_secs()),
        [1, 300, 600]
    );
    insta::assert_snapshot!(parse("services: { firstRestart: 1h }\n").unwrap_err(), @"
    /etc/wasmcloud/host.yaml:1:27: `firstRestart` is more than `longestRestart`
    hint: lower it, or raise `longestRestart`
    ");
}

#[cfg(feature = "keyvalue")]
#[test]
fn how_much_may_be_kept_is_set() {
    let text = "keyvalue: { key: 64B, value: 2KiB, memory: 3MiB, disk: 4GiB }\n";
    let mut config = HostConfig::default();
    parse(text).unwrap().apply(&mut config);
    let options = config.keyvalue;
    assert_eq!((options.key_bytes, options.value_bytes), (64, 2 << 10));
    assert_eq!(
        (options.memory_bytes, options.disk_bytes),
        (3 << 20, 4 << 30)
    );
}

#[cfg(feature = "servers")]
#[test]
fn who_certifies_servers_is_read() {
    let mut config = HostConfig::default();
    let file = parse("backends: { extraCaFiles: [ca.pem, /etc/ssl/own.pem] }\n");
    file.unwrap().apply(&mut config);
    let wanted = ["/etc/wasmcloud/ca.pem", "/etc/ssl/own.pem"].map(Path::new);
    assert_eq!(config.backend_authorities, wanted);
}

#[cfg(feature = "secrets")]
#[test]
fn who_may_read_which_secrets_is_read() {
    let file = parse(
        "secrets:\n  environment: { default/shop: [SHOP_*, API_KEY], '*': [ALL] }\n  folders: { 'shop/*': [shop, /srv/shop] }\n  keyFile: key\n",
    )
    .unwrap();
    let mut config = HostConfig::default();
    file.apply(&mut config);
    let secrets = &config.secrets;
    let allowed =
        |workloads: &str, variables: &str| (workloads.parse().unwrap(), variables.parse().unwrap());
    let wanted = [
        allowed("*", "ALL"),
        allowed("default/shop", "SHOP_*"),
        allowed("default/shop", "API_KEY"),
    ];
    assert_eq!(secrets.environment, wanted);
    let folders: Vec<_> = secrets
        .folders
        .iter()
        .map(|(_, folder)| folder.as_path())
        .collect();
    assert_eq!(
        folders,
        [Path::new("/etc/wasmcloud/shop"), Path::new("/srv/shop")]
    );
    assert_eq!(
        secrets.key_file.as_deref(),
        Some(Path::new("/etc/wasmcloud/key"))
    );
    let error = parse("secrets: { environment: { shop: ['*'] } }")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("wanted `namespace/name`, `namespace/*` or `*`"),
        "{error}"
    );
    assert!(error.contains("such as `SHOP_*`"), "{error}");
}

#[cfg(feature = "postgres")]
#[test]
fn the_url_of_a_database_is_read_and_never_told() {
    use crate::capability::postgres::{Databases, Workloads};

    let file = parse(
        "postgres: { url: 'postgres://ann:s3cret@db.example?sslmode=verify-ca', connections: 7, connectionsPerEntry: 3, row: 1MiB, answer: 2MiB, sql: 3KiB, inFlight: 5MiB, databases: { default/shop: [shop, goods], 'lab/*': ['*'] } }\n",
    )
    .unwrap();
    assert!(!format!("{file:?}").contains("s3cret"));
    let mut config = HostConfig::default();
    file.apply(&mut config);
    let options = config.postgres;
    assert!(options.url.is_some());
    assert_eq!((options.max_connections, options.max_pool), (7, 3));
    assert_eq!((options.max_row, options.max_in_flight), (1 << 20, 5 << 20));
    let granted = |workloads: &str, databases: &str| {
        let workloads = workloads.parse::<Workloads>().unwrap();
        (workloads, databases.parse::<Databases>().unwrap())
    };
    let wanted = [
        granted("default/shop", "shop"),
        granted("default/shop", "goods"),
        granted("lab/*", "*"),
    ];
    assert_eq!(options.databases, wanted);
    assert_eq!((options.max_answer, options.max_sql), (2 << 20, 3 << 10));
    let told = parse("postgres:\n  url: mysql://ann:s3cret@db.example\n").unwrap_err();
    assert!(told.contains(":2:8: wanted a URL such as"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[cfg(feature = "oci")]
#[test]
fn images_are_read_with_registries_secrets_and_rules() {
    use crate::registry::{ImageOptions, Requirement};

    let file = parse(
        "images:\n  cacheDir: images\n  cacheSize: 1GiB\n  largest: 1MiB\n  silence: 5s\n  longest: 1m\n  attempts: 2\n  parallel: 8\n  \
         authFile: auth.json\n  pullSecrets: { shop: { key: shop.json } }\n  registries:\n    \
         'r.example:5000': { plainHttp: true, caFiles: [ca.pem], mirrors: [{ location: m.example/hub }], username: ada, passwordFile: word }\n  \
         verify:\n    - { images: 'r.example:5000/**', keys: [a.pub, /b.pub] }\n    - { images: 'ghcr.io/*', allow: true }\n    \
         - { images: '*', allow: false }\n",
    );
    let mut options = ImageOptions::default();
    file.unwrap().images.apply(&mut options);
    assert_eq!(
        options.cache.as_deref(),
        Some(Path::new("/etc/wasmcloud/images"))
    );
    assert_eq!(
        (options.store.limit, options.settings.largest_image),
        (1 << 30, 1 << 20)
    );
    assert_eq!(
        (options.settings.retries.attempts, options.settings.parallel),
        (2, 8)
    );
    let registry = &options.settings.registries["r.example:5000"];
    assert!(registry.plain_http && registry.mirrors[0].location == "m.example/hub");
    assert_eq!(options.logins["r.example:5000"].username, "ada");
    let secret = ("shop".parse().unwrap(), "key".parse().unwrap());
    assert_eq!(
        options.pull_secrets[&secret],
        Path::new("/etc/wasmcloud/shop.json")
    );
    let keys = vec!["/etc/wasmcloud/a.pub".into(), "/b.pub".into()];
    assert_eq!(options.verify[0].1, Requirement::Keys(keys));
    assert_eq!(options.verify[2].1, Requirement::Deny);
}

#[cfg(feature = "oci")]
#[test]
fn what_is_wrong_with_images_is_told_where_it_stands() {
    let wrong = parse(
        "images:\n  attempts: 0\n  cacheSize: 0B\n  pullSecrets: { Shop: { key: a }, shop: { 'a b': c } }\n  registries:\n    \
         '*': { plainHttp: true }\n    'r.example': { username: ada }\n    'q.example': { mirrors: [{}, { location: 'http://m' }] }\n  \
         verify:\n    - { images: 'r.example/*' }\n    - { images: 'r.example/*', allow: true, keys: [a] }\n    \
         - { images: acme, allow: true }\n    - { images: '*', keys: [] }\n    - { images: '*', digests: ['sha256:1'] }\n    \
         - { images: '*', identities: [] }\n    - { images: '*', trustRoot: t, identities: [{ subject: a, subjectPattern: b }] }\n    \
         - { allow: false }\n",
    );
    let wrong = wrong.unwrap_err();
    for told in [
        "wanted a number from 1 to 100",
        "wanted a size such as",
        "`Shop`",
        "this is no name of a secret",
        "`*` is no registry",
        "`username` needs a `passwordFile`",
        "the mirror has no `location`",
        "`http://m` is no mirror",
        "a rule demands one of `allow`, `digests`, `keys` and `identities`",
        "`acme` is no pattern",
        "`keys` is empty",
        "64 digits",
        "`identities` and `trustRoot` belong together",
        "the identity has no `issuer`",
        "either a `subject` or a `subjectPattern`",
        "for which `images` it is",
    ] {
        assert!(wrong.contains(told), "{told} is missing in:\n{wrong}");
    }
}
