//! The encrypted store: who sees what, and what becomes of one that was touched.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::conformance::tenant;
use super::*;

fn owner(name: &str) -> Owner {
    Owner::workload(&"default".parse().unwrap(), &name.parse().unwrap())
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

async fn get(vault: &Vault, workload: &str) -> Result<Option<String>, String> {
    let found = vault.of(&tenant(workload)).get(&name("key")).await;
    let text = |secret: Secret| secret.text().unwrap().to_owned();
    found.map(|it| it.map(text)).map_err(|it| it.to_string())
}

#[tokio::test]
async fn each_workload_sees_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(folder.path(), None);
    assert_eq!(
        get(&vault, "shop").await,
        Ok(None),
        "before there is a store"
    );
    vault
        .set(&owner("shop"), &name("key"), b"of the shop")
        .unwrap();
    vault
        .set(&owner("bank"), &name("other"), b"of the bank")
        .unwrap();
    assert_eq!(
        get(&vault, "shop").await,
        Ok(Some("of the shop".to_owned()))
    );
    assert_eq!(get(&vault, "bank").await, Ok(None));
    let shared = Owner::shared(&"default".parse().unwrap(), "shop");
    assert!(!vault.remove(&shared, &name("key")).unwrap());
    let listed = vault.list().unwrap();
    let listed: Vec<String> = listed
        .iter()
        .map(|(owner, name)| format!("{owner} {name}"))
        .collect();
    assert_eq!(
        listed,
        ["default/workload/bank other", "default/workload/shop key"]
    );
    assert!(vault.remove(&owner("shop"), &name("key")).unwrap());
    assert!(!vault.remove(&owner("shop"), &name("key")).unwrap());
    assert_eq!(get(&vault, "shop").await, Ok(None));
}

#[test]
fn nothing_on_the_disk_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(folder.path(), None);
    vault
        .set(&owner("shop"), &name("key"), b"SECRETVALUE")
        .unwrap();
    let value = to_hex(b"SECRETVALUE");
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for plain in ["SECRETVALUE", "shop", value.as_str()] {
            let found = bytes
                .windows(plain.len())
                .any(|part| part == plain.as_bytes());
            assert!(!found, "{plain} in {}", path.display());
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn what_was_touched_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(folder.path(), None);
    vault
        .set(&owner("shop"), &name("key"), b"SECRETVALUE")
        .unwrap();
    let path = folder.path().join(FILE);
    let good = fs::read(&path).unwrap();
    for at in [0, 7, 8, 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let told = get(&vault, "shop").await.unwrap_err();
        assert!(
            told.contains("damaged") || told.contains("no encrypted store"),
            "{told}"
        );
        assert!(
            vault.set(&owner("shop"), &name("key"), b"new").is_err(),
            "nothing is lost"
        );
    }
    for length in [0, 8, 20, 40] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(get(&vault, "shop").await.is_err(), "{length}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(
        get(&vault, "shop").await,
        Ok(Some("SECRETVALUE".to_owned()))
    );
}

#[tokio::test]
async fn a_key_is_needed_and_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("the.key");
    let vault = Vault::new(folder.path(), Some(&key));
    vault
        .set(&owner("shop"), &name("key"), b"SECRETVALUE")
        .unwrap();
    let written = fs::read_to_string(&key).unwrap();
    assert_eq!(written.trim().len(), 64);
    let told = get(&Vault::new(folder.path(), None), "shop")
        .await
        .unwrap_err();
    assert!(
        told.contains("neither WASMCLOUD_SECRETS_KEY nor "),
        "{told}"
    );
    for (text, problem) in [
        ("0".repeat(64), "another key"),
        ("0".repeat(62), "wanted 64 hexadecimal digits"),
        ("x".repeat(64), "wanted 64 hexadecimal digits"),
    ] {
        fs::write(&key, &text).unwrap();
        let told = get(&vault, "shop").await.unwrap_err();
        assert!(told.contains(problem) && !told.contains(&text), "{told}");
    }
    fs::write(&key, &written).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = get(&vault, "shop").await.unwrap_err();
    assert!(told.contains("`chmod 600` it"), "{told}");
}

#[test]
fn writers_do_not_lose_what_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(folder.path(), None);
    std::thread::scope(|scope| {
        for nth in 0..8 {
            let vault = &vault;
            scope.spawn(move || {
                vault
                    .set(&owner("shop"), &name(&format!("k{nth}")), b"v")
                    .unwrap()
            });
        }
    });
    assert_eq!(vault.list().unwrap().len(), 8);
}
