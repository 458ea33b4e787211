//! Ways out of a volume that must not be ones.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::{BOTH, Machine, spec};

/// A folder with a secret beside it, and the folder mounted.
async fn machine(image: &str) -> Machine {
    let machine = Machine::start().await;
    let (root, mounted) = (machine.root.path(), machine.root.path().join("mounted"));
    fs::create_dir_all(mounted.join("sub")).unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    fs::write(mounted.join("file"), "file").unwrap();
    symlink(root.join("secret"), mounted.join("absolute")).unwrap();
    symlink("../secret", mounted.join("relative")).unwrap();
    symlink("..", mounted.join("up")).unwrap();
    symlink("loop", mounted.join("loop")).unwrap();
    let spec = spec(
        image,
        json!([{ "name": "data", "hostPath": { "path": mounted } }]),
        json!([{ "name": "data", "mountPath": "/data" }]),
    );
    machine.host.run("files", &spec).await;
    machine
}

#[tokio::test]
async fn no_path_leads_out_of_a_volume() {
    for image in BOTH {
        let machine = machine(image).await;
        let secret = machine.root.path().join("secret");
        let secret = secret.to_str().unwrap();
        for command in [
            "read,/data:../secret",
            "read,/data:sub/../../secret",
            "read,/data:./.././secret",
            "read,/data:absolute",
            "read,/data:relative",
            "read,/data:up/secret",
            "read,/data:relative/",
            "list,/data:up",
            "list,/data:..",
            "list,/data:/",
            "read,/data:/etc/passwd",
            "write,/data:../new,x",
            "write,/data:relative,x",
            "append,/data:absolute,x",
            "resize,/data:relative,0",
            "size,/data:../secret",
            "size,/data:up/secret",
            "mkdir,/data:../new",
            "mkdir,/data:up/new",
            "touch,/data:up/new",
            "rmdir,/data:../mounted",
            "unlink,/data:../secret",
            "unlink,/data:up/secret",
            "rename,/data:../secret,/data:mine",
            "rename,/data:file,/data:../new",
            "rename,/data:file,/data:up/new",
            "link,/data:../secret,/data:mine",
            "link,/data:up/secret,/data:mine",
            "link,/data:file,/data:../new",
            "symlink,file,/data:../new",
            "readlink,/data:up/mounted/up",
            "times,/data:../secret",
            &format!("symlink,{secret},/data:mine"),
            &format!("read,/data:{secret}"),
        ] {
            assert_eq!(
                machine.script(command).await,
                ["not-permitted"],
                "{command}"
            );
        }
        assert_eq!(machine.script("read,/data:loop").await, ["loop"]);
        // A link that leads out may be made, and is not followed.
        assert_eq!(
            machine
                .script(
                    "symlink,../secret,/data:new;read,/data:new;write,/data:new,x;unlink,/data:new"
                )
                .await,
            ["ok", "not-permitted", "not-permitted", "ok"]
        );
        assert_eq!(fs::read_to_string(secret).unwrap(), "secret");
        let mut left: Vec<_> = fs::read_dir(machine.root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["mounted", "secret"]);
        let mounted = machine.root.path().join("mounted");
        assert_eq!(fs::read_dir(mounted).unwrap().count(), 6);
    }
}

/// A slash at the end says "folder", and a file is none.
#[tokio::test]
async fn a_slash_at_the_end_wants_a_folder() {
    for image in BOTH {
        let machine = machine(image).await;
        for (command, wanted) in [
            ("read,/data:file/", "not-directory"),
            ("list,/data:sub/", ""),
            ("list,/data:sub//.//", ""),
            ("mkdir,/data:made/", "ok"),
            ("rmdir,/data:made", "ok"),
            ("unlink,/data:file/", "not-directory"),
            ("rename,/data:file/,/data:new", "not-directory"),
            ("link,/data:file/,/data:new", "not-directory"),
            ("list,/data:", "no-entry"),
        ] {
            assert_eq!(machine.script(command).await, [wanted], "{command}");
        }
        // Which error it is differs, but no file comes of it.
        for command in ["touch,/data:new/", "rename,/data:file,/data:new/"] {
            assert_ne!(machine.script(command).await, ["ok"], "{command}");
        }
        assert_eq!(machine.script("read,/data:file").await, ["file"]);
    }
}

/// What was opened stays what it was, whoever puts something else in its place.
#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_does_not_lead_out() {
    for image in BOTH {
        let machine = machine(image).await;
        let root = machine.root.path();
        fs::rename(root.join("mounted"), root.join("moved")).unwrap();
        symlink("/etc", root.join("mounted")).unwrap();
        assert_eq!(
            machine.script("read,/data:file;read,/data:passwd").await,
            ["file", "no-entry"]
        );
    }
}
