//! TLS: who is trusted by which mode.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

/// An authority, and a server with a certificate for a name by it.
fn server(name: &str) -> (tempfile::TempDir, std::path::PathBuf, Postgres) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    let postgres = Postgres::with_tls(&certificate.pem(), &key.serialize_pem());
    (folder, path, postgres)
}

/// Whether the connection is protected, if there is one.
async fn protected(
    postgres: &Postgres,
    mode: &str,
    ca: Option<&std::path::Path>,
) -> Result<Value, Fault> {
    let how = How {
        authorities: ca.into_iter().map(std::path::Path::to_path_buf).collect(),
        ..How::default()
    };
    let database = open(&format!("{}{mode}", postgres.url("notes")), how);
    one(
        &database,
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        &[],
    )
    .await
}

#[tokio::test]
async fn servers_are_trusted_as_their_mode_says() {
    let (_folder, ca, postgres) = server("127.0.0.1");
    let (yes, no) = (Ok(Value::Bool(true)), Ok(Value::Bool(false)));
    // On this machine nobody listens in.
    assert_eq!(protected(&postgres, "", Some(&ca)).await, no);
    assert_eq!(
        protected(&postgres, "?sslmode=disable", Some(&ca)).await,
        no
    );
    for mode in ["require", "verify-ca", "verify-full"] {
        let mode = format!("?sslmode={mode}");
        assert_eq!(protected(&postgres, &mode, Some(&ca)).await, yes, "{mode}");
        let unknown = protected(&postgres, &mode, None).await;
        assert!(
            matches!(unknown, Err(Fault::Unavailable(_))),
            "{mode}: {unknown:?}"
        );
    }
    // The password is bound to the connection, so that nobody in the middle can pass it on.
    let bound = "?sslmode=verify-full&channel_binding=require";
    assert_eq!(protected(&postgres, bound, Some(&ca)).await, yes);
    // Everything works inside TLS, cancelling too.
    let how = How {
        connections: 1,
        authorities: vec![ca],
        ..How::default()
    };
    let database = open(
        &format!("{}?sslmode=verify-full", postgres.url("notes")),
        how,
    );
    let waiting = database.batch("SELECT pg_sleep(3600)".to_owned());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), waiting)
            .await
            .is_err()
    );
    let told = batch(&database, "BEGIN").await;
    assert!(matches!(told, Err(Fault::Query(_))), "{told:?}");
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'notes' AND state = 'active'";
    postgres.until("postgres", active, "0");
}

#[tokio::test]
async fn a_server_of_another_name_is_good_for_its_authority_only() {
    let (_folder, ca, postgres) = server("db.example");
    let by_authority = protected(&postgres, "?sslmode=verify-ca", Some(&ca)).await;
    assert_eq!(by_authority, Ok(Value::Bool(true)));
    for mode in ["require", "verify-full"] {
        let other = protected(&postgres, &format!("?sslmode={mode}"), Some(&ca)).await;
        assert!(
            matches!(other, Err(Fault::Unavailable(_))),
            "{mode}: {other:?}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_it_is_wanted() {
    let postgres = Postgres::start();
    let plain = protected(&postgres, "?sslmode=require", None).await;
    assert!(matches!(plain, Err(Fault::Unavailable(_))), "{plain:?}");
}
