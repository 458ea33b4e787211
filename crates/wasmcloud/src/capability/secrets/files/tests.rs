//! Files that are not what they should be.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::super::conformance::write;
use super::*;

async fn told(store: &Arc<dyn SecretStore>) -> String {
    match store.get(&"key".parse().unwrap()).await {
        Ok(_) => "answered".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, all) = (folder.path().join("key"), folder.path().join("all.yaml"));
    write(&one, b"SECRETVALUE");
    write(&all, b"key: SECRETVALUE");
    for (path, store) in [
        (&one, at(folder.path(), "".as_ref(), &Guarded::default())),
        (
            &all,
            at(folder.path(), "all.yaml".as_ref(), &Guarded::default()),
        ),
    ] {
        assert_eq!(told(&store).await, "answered");
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let told = told(&store).await;
            assert!(told.contains("`chmod 600` it"), "{told}");
            assert!(!told.contains("SECRETVALUE"), "{told}");
        }
        fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(told(&store).await, "answered");
    }
}

#[tokio::test]
async fn links_lead_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("key"), b"SECRETVALUE");
    for target in [outside.path().join("key"), "/proc/self/environ".into()] {
        let folder = tempfile::tempdir().unwrap();
        symlink(&target, folder.path().join("key")).unwrap();
        let told = told(&at(folder.path(), "".as_ref(), &Guarded::default())).await;
        assert!(told.contains("leads out of its folder"), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let name = outside.path().file_name().unwrap();
    symlink(
        Path::new("..").join(name).join("key"),
        folder.path().join("key"),
    )
    .unwrap();
    let text = told(&at(folder.path(), "".as_ref(), &Guarded::default())).await;
    assert!(text.contains("leads out of"), "{text}");
}

#[tokio::test]
async fn only_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("key")).unwrap();
    let text = told(&at(folder.path(), "".as_ref(), &Guarded::default())).await;
    assert!(text.contains("no regular file"), "{text}");
    fs::remove_dir(folder.path().join("key")).unwrap();
    // A pipe that nobody writes to holds nobody up.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("key"))
        .status();
    assert!(made.unwrap().success());
    let text = told(&at(folder.path(), "".as_ref(), &Guarded::default())).await;
    assert!(text.contains("no regular file"), "{text}");
}

#[tokio::test]
async fn one_line_end_is_no_part_of_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    for (written, read) in [
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
        ("a\r", "a\r"),
        (" a ", " a "),
        ("\n", ""),
    ] {
        write(&folder.path().join("key"), written.as_bytes());
        let store = at(folder.path(), "".as_ref(), &Guarded::default());
        let found = store.get(&"key".parse().unwrap()).await.ok().flatten();
        assert_eq!(found.unwrap().text(), Some(read), "{written:?}");
    }
}

/// Whatever is wrong with a file of secrets, no part of it shows.
#[tokio::test]
async fn no_error_repeats_what_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.yaml");
    for text in [
        "SECRETVALUE",
        "- SECRETVALUE",
        "key: [SECRETVALUE]",
        "key: {a: SECRETVALUE}",
        "key: SECRETVALUE\nkey: SECRETVALUE",
        "key: \"SECRETVALUE",
        "key: *SECRETVALUE",
    ] {
        write(&path, text.as_bytes());
        let told = told(&at(folder.path(), "all.yaml".as_ref(), &Guarded::default())).await;
        assert!(
            told.ends_with("no mapping of names to texts, in YAML or JSON"),
            "{told}"
        );
    }
    write(&path, &vec![b'x'; MOST_DOCUMENT + 1]);
    assert!(
        told(&at(folder.path(), "all.yaml".as_ref(), &Guarded::default()))
            .await
            .contains("more than 1048576 bytes")
    );
}

/// Neither by its name nor by any other, and no copy is in an error.
#[tokio::test]
async fn files_of_the_encrypted_store_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.key");
    write(&own, b"SECRETVALUE");
    fs::hard_link(&own, folder.path().join("hard")).unwrap();
    symlink("own.key", folder.path().join("soft")).unwrap();
    write(&folder.path().join("other"), b"SECRETVALUE");
    write(&folder.path().join("own.yaml"), b"key: SECRETVALUE");
    let files = vec![own, folder.path().join("own.yaml"), "absent".into()];
    let guarded = Guarded::new(files, None);
    let store = at(folder.path(), "".as_ref(), &guarded);
    for (name, refused) in [
        ("own.key", true),
        ("hard", true),
        ("soft", true),
        ("other", false),
    ] {
        let told = match store.get(&name.parse().unwrap()).await {
            Ok(found) => found.map_or("absent", |_| "answered").to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            told.contains("part of the encrypted store"),
            refused,
            "{name}: {told}"
        );
        assert!(!told.contains("SECRETVALUE"), "{told}");
    }
    let told = told(&at(folder.path(), "own.yaml".as_ref(), &guarded)).await;
    assert!(told.contains("part of the encrypted store"), "{told}");
}
