//! `wash secrets`: puts secrets into the encrypted store of a host, and takes them out again. Values are read from standard
//! input, never from the command line, and never shown.

use std::io::{self, IsTerminal as _, Read as _};

use serde_json::{Value, json};
use wasmcloud::capability::secrets::{MOST_BYTES, Owner, Vault, VaultError};
use wasmcloud::workload::{Namespace, SecretName};

use crate::cli::{OwnerArgs, SecretsArgs, SecretsCommand, StoreArgs};
use crate::failure::Failure;
use crate::ui::{Ui, table};

pub(crate) fn run(args: SecretsArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        SecretsCommand::Set { name, owner, store } => {
            let (name, owner) = (read_name(&name)?, read_owner(&owner)?);
            vault(&store)
                .set(&owner, &name, &value(ui)?)
                .map_err(failed)?;
            done("set", &owner, &name, ui)
        }
        SecretsCommand::Remove { name, owner, store } => {
            let (name, owner) = (read_name(&name)?, read_owner(&owner)?);
            if !vault(&store).remove(&owner, &name).map_err(failed)? {
                let message = format!("there is no secret `{name}` of {owner}");
                return Err(
                    Failure::new(message).hint("`wash secrets list` shows those that there are")
                );
            }
            done("removed", &owner, &name, ui)
        }
        SecretsCommand::List { store } => list(&vault(&store), ui),
    }
}

fn vault(args: &StoreArgs) -> Vault {
    Vault::new(&args.folder, args.key_file.as_deref())
}

fn failed(error: VaultError) -> Failure {
    Failure::new(error.to_string())
}

fn done(what: &str, owner: &Owner, name: &SecretName, ui: &Ui) -> Result<(), Failure> {
    let value = || json!({"done": what, "owner": owner.to_string(), "name": name.as_str()});
    ui.result(value, || format!("{what} {name} of {owner}"))
}

fn list(vault: &Vault, ui: &Ui) -> Result<(), Failure> {
    let all = vault.list().map_err(failed)?;
    let value = || {
        let all = all
            .iter()
            .map(|(owner, name)| json!({"owner": owner.to_string(), "name": name}));
        json!({"secrets": all.collect::<Vec<Value>>()})
    };
    let text = || {
        let rows = all
            .iter()
            .map(|(owner, name)| vec![owner.to_string(), name.clone()]);
        table(&rows.collect::<Vec<_>>())
    };
    ui.result(value, text)
}

fn read_name(text: &str) -> Result<SecretName, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("{error}")))
}

/// `NAME` in the namespace `default`, or `NAMESPACE/NAME`.
fn read_owner(args: &OwnerArgs) -> Result<Owner, Failure> {
    let text = args.workload.as_ref().or(args.shared.as_ref());
    let text = text.map_or("", String::as_str);
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => {
            let namespace = namespace.parse::<Namespace>();
            let namespace = namespace.map_err(|error| Failure::usage(error.to_string()))?;
            (namespace, name)
        }
        None => (Namespace::default(), text),
    };
    if args.shared.is_some() {
        return Ok(Owner::shared(&namespace, name));
    }
    let name = name
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    Ok(Owner::workload(&namespace, &name))
}

/// All of standard input, without the line end that `echo` and terminals add.
fn value(ui: &Ui) -> Result<Vec<u8>, Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        ui.say("type the value, then Ctrl-D on a line of its own");
    }
    let most = u64::try_from(MOST_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(3);
    // As large as it gets at once: what grows leaves copies behind.
    let mut value = Vec::with_capacity(MOST_BYTES + 3);
    let read = input.take(most).read_to_end(&mut value);
    read.map_err(|error| Failure::io("cannot read", "standard input", &error))?;
    for end in [b'\n', b'\r'] {
        if value.last() == Some(&end) {
            value.pop();
        } else {
            break;
        }
    }
    Ok(value)
}
