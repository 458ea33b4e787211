//! Files with secrets: whose they may be, and who else may read them.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;

/// Whether a file is fit to hold a secret: it is a regular one of this user or of root, and nobody else may use it. What root has put
/// there for a service, as systemd and Kubernetes do, may be readable for the group.
///
/// # Errors
/// With what is wrong with it and what to do about it, in words that follow "the file".
pub(crate) fn check(file: &File) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let user = rustix::process::geteuid().as_raw();
    verdict(&metadata, user)
}

fn verdict(metadata: &Metadata, user: u32) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if ![0, user].contains(&metadata.uid()) {
        return Err("it belongs to another user".to_owned());
    }
    // The superuser's own need no group.
    let is_given = metadata.uid() == 0 && user != 0;
    let nobody_else = if is_given { 0o037 } else { 0o077 };
    if metadata.mode() & nobody_else != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!(
            "others than its owner may use it (mode {mode:04o}); `chmod 600` it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_group_may_read_what_root_has_put_there_for_a_service() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = file.as_file().metadata().unwrap().uid();
        let with = |mode: u32| {
            let permissions = Permissions::from_mode(mode);
            file.as_file().set_permissions(permissions).unwrap();
            file.as_file().metadata().unwrap()
        };
        for (mode, for_itself, for_a_service) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o440, false, true),
            (0o640, false, true),
            (0o444, false, false),
            (0o660, false, false),
            (0o604, false, false),
        ] {
            let metadata = with(mode);
            assert_eq!(verdict(&metadata, own).is_ok(), for_itself, "{mode:o}");
            // Only root can make files of root.
            if own == 0 {
                assert_eq!(verdict(&metadata, 1000).is_ok(), for_a_service, "{mode:o}");
            }
        }
        let others = verdict(&with(0o600), own + 1);
        assert_eq!(others.is_ok(), own == 0);
    }
}
