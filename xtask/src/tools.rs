//! What the tests and the bench need beside Rust: how to see that it is there, and how to get it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::shell::{output, run, say};

/// A program from outside the Rust toolchain.
struct Tool {
    /// What people call it.
    name: &'static str,
    /// A command that succeeds when the tool is there.
    probe: &'static [&'static str],
    /// Where it comes from.
    source: Source,
    /// Which tasks need it.
    wanted_by: &'static [For],
}

/// Where a tool comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A package of Debian.
    Debian(&'static str),
    /// A command of the shell that puts it into the folder `$TOOLS`. What it needs of Debian comes before.
    Shell {
        packages: &'static [&'static str],
        command: &'static str,
    },
    /// Packages of a later Debian than the machine's. They are not installed: their programs lie in `$TOOLS/SUITE`.
    Later {
        suite: &'static str,
        packages: &'static [&'static str],
    },
}

/// Where tools are put that are none of the machine's. The tests look there.
const FOLDER: &str = ".cache/wasmcloud-ci/tools";

/// Checks signatures and keeps objects as files. It is built apart from the workspace, and not for speed.
const S3S_FS: Source = Source::Shell {
    packages: &[],
    command: "CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 cargo install s3s-fs --version 0.14.1 --locked \
              --features binary --debug --root \"$TOOLS\" --target-dir \"$TOOLS/build\" && rm -rf \"$TOOLS/build\"",
};

/// Takes keys as long as AWS does.
const MOTO: Source = Source::Shell {
    packages: &["python3-venv"],
    command: "python3 -m venv \"$TOOLS/moto\" && \"$TOOLS/moto/bin/pip\" install --quiet 'moto[server]==5.2.1'",
};

/// A registry with the referrers API, which Debian's has not.
const FERRO: Source = Source::Shell {
    packages: &[],
    command: "CARGO_PROFILE_DEV_DEBUG=0 cargo install ferro-oci-server --version 1.0.0 --locked --debug \
              --root \"$TOOLS\" --target-dir \"$TOOLS/build\" && rm -rf \"$TOOLS/build\"",
};

/// Unpacks `$PACKAGES` of the Debian `$SUITE` below `$TOOLS`, by a configuration of apt that is only theirs.
/// They come from where the machine's own packages come from.
const LATER: &str = r#"
set -e
folder="$TOOLS/$SUITE"
mkdir -p "$folder/lists/partial" "$folder/archives/partial"
cd "$folder"
. /etc/os-release
archive="$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$VERSION_CODENAME/InRelease'.*|\1|p" | head -n 1)"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $SUITE main" >sources
later() {
    apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceParts=- -o Dir::Etc::SourceList="$folder/sources" \
        -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder" -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
later update
later download $PACKAGES
for package in *.deb; do dpkg-deb -x "$package" .; done
rm -rf lists archives sources ./*.deb ./*.bin
"#;

/// The task that needs a tool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// `cargo xtask test`: the servers that capabilities speak to, and a browser for the pages of examples.
    Test,
    /// The parts of `cargo xtask bench` that put a server under load.
    BenchLoad,
    /// `cargo xtask bench capabilities`: the servers that capabilities speak to.
    BenchCapabilities,
    /// `cargo xtask bench oci`: a registry, and the client that ours is compared with.
    BenchOci,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "NATS",
        probe: &["sh", "-c", "command -v nats-server"],
        source: Source::Debian("nats-server"),
        wanted_by: &[For::Test, For::BenchCapabilities],
    },
    Tool {
        name: "Redis",
        probe: &["sh", "-c", "command -v redis-server"],
        source: Source::Debian("redis-server"),
        wanted_by: &[For::Test, For::BenchCapabilities],
    },
    Tool {
        name: "PostgreSQL",
        probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"],
        source: Source::Debian("postgresql"),
        wanted_by: &[For::Test, For::BenchCapabilities],
    },
    Tool {
        name: "Chromium",
        probe: &["sh", "-c", "command -v chromium"],
        source: Source::Debian("chromium"),
        wanted_by: &[For::Test],
    },
    Tool {
        name: "the driver of Chromium",
        probe: &["sh", "-c", "command -v chromedriver"],
        source: Source::Debian("chromium-driver"),
        wanted_by: &[For::Test],
    },
    Tool {
        name: "s3s-fs",
        probe: &[
            "sh",
            "-c",
            "test -x ~/.cache/wasmcloud-ci/tools/bin/s3s-fs || command -v s3s-fs",
        ],
        source: S3S_FS,
        wanted_by: &[For::Test, For::BenchCapabilities],
    },
    Tool {
        name: "Moto",
        probe: &[
            "sh",
            "-c",
            "test -x ~/.cache/wasmcloud-ci/tools/moto/bin/moto_server || command -v moto_server",
        ],
        source: MOTO,
        wanted_by: &[For::Test],
    },
    Tool {
        name: "the registry of Debian",
        probe: &["sh", "-c", "command -v docker-registry"],
        source: Source::Debian("docker-registry"),
        wanted_by: &[For::Test, For::BenchOci],
    },
    Tool {
        name: "a second registry",
        probe: &[
            "sh",
            "-c",
            "test -x ~/.cache/wasmcloud-ci/tools/bin/ferro-oci-server || command -v ferro-oci-server",
        ],
        source: FERRO,
        wanted_by: &[For::Test],
    },
    Tool {
        name: "Skopeo",
        probe: &["sh", "-c", "command -v skopeo"],
        source: Source::Debian("skopeo"),
        wanted_by: &[For::Test, For::BenchOci],
    },
    Tool {
        name: "ORAS and Cosign 2",
        probe: &[
            "sh",
            "-c",
            "cd ~/.cache/wasmcloud-ci/tools/trixie/usr/bin && test -x oras && test -x cosign",
        ],
        source: Source::Later {
            suite: "trixie",
            packages: &["oras", "cosign"],
        },
        wanted_by: &[For::Test],
    },
    Tool {
        name: "Cosign 3",
        probe: &[
            "sh",
            "-c",
            "test -x ~/.cache/wasmcloud-ci/tools/forky/usr/bin/cosign",
        ],
        source: Source::Later {
            suite: "forky",
            packages: &["cosign"],
        },
        wanted_by: &[For::Test],
    },
    Tool {
        name: "wrk",
        probe: &["sh", "-c", "command -v wrk"],
        source: Source::Debian("wrk"),
        wanted_by: &[For::BenchLoad],
    },
];

/// Installs the tools of one task that are missing.
pub(crate) fn ensure(task: For) -> anyhow::Result<()> {
    for tool in TOOLS
        .iter()
        .filter(|tool| tool.wanted_by.contains(&task) && !is_there(tool))
    {
        say(&format!("{} is missing: installing it", tool.name));
        tool.source.install().with_context(|| {
            format!(
                "could not install {}\nhint: install it by hand and run the command again",
                tool.name
            )
        })?;
        if !is_there(tool) {
            bail!("{} is still missing after installing it", tool.name);
        }
    }
    Ok(())
}

impl Source {
    fn install(self) -> anyhow::Result<()> {
        match self {
            Self::Debian(package) => install(package),
            Self::Shell { packages, command } => {
                for package in packages {
                    install(package)?;
                }
                run(Command::new("sh")
                    .args(["-c", command])
                    .env("TOOLS", folder()?))
            }
            Self::Later { suite, packages } => run(Command::new("sh")
                .args(["-c", LATER])
                .env("TOOLS", folder()?)
                .env("SUITE", suite)
                .env("PACKAGES", packages.join(" "))),
        }
    }
}

/// Where tools are put, made if it is not there.
fn folder() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").context("`HOME` is not set")?;
    let tools = Path::new(&home).join(FOLDER);
    std::fs::create_dir_all(&tools)
        .with_context(|| format!("{} cannot be made", tools.display()))?;
    Ok(tools)
}

fn is_there(tool: &Tool) -> bool {
    let Some((program, args)) = tool.probe.split_first() else {
        return false;
    };
    let probe = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

fn install(package: &str) -> anyhow::Result<()> {
    let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt = |args: &[&str]| {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.arg("apt-get");
        }
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = ["install", "-y", "--no-install-recommends", package];
    // The package lists of a fresh machine or container are empty or stale.
    if run(&mut apt(&install)).is_ok() {
        return Ok(());
    }
    run(&mut apt(&["update"]))?;
    run(&mut apt(&install))
}

/// Installs the compilation targets that `rust-toolchain.toml` lists.
///
/// rustup does so by itself unless it was told not to (`RUSTUP_AUTO_INSTALL=0`), or the toolchain
/// was there before a target was added to the file.
pub(crate) fn ensure_targets(root: &Path) -> anyhow::Result<()> {
    let file = root.join("rust-toolchain.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    for target in quoted_list(&text, "targets") {
        if has_target(root, &target) {
            continue;
        }
        say(&format!("the target {target} is missing"));
        run(Command::new("rustup").args(["target", "add", &target]).current_dir(root)).with_context(|| {
            format!("could not add the target {target}\nhint: without rustup, install the standard library of {target} the way your Rust came")
        })?;
    }
    Ok(())
}

/// Whether the compiler in use has the target's standard library. Asks rustc rather than rustup,
/// so that it holds for a Rust that came another way.
fn has_target(root: &Path, target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(root);
    output(&mut rustc).is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

/// The strings of `key = ["a", "b"]` in a TOML text, over as many lines as it takes.
fn quoted_list(text: &str, key: &str) -> Vec<String> {
    let start = text.lines().position(|line| {
        line.split_once('=')
            .is_some_and(|(left, _)| left.trim() == key)
    });
    let Some(start) = start else {
        return Vec::new();
    };
    let rest = text.lines().skip(start).collect::<Vec<_>>().join("\n");
    let inside = rest.split_once('[').map_or("", |(_, right)| right);
    let inside = inside.split(']').next().unwrap_or_default();
    inside
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_over_one_line_or_several() {
        let one = "[toolchain]\nchannel = \"1.95.0\"\ntargets = [\"a\", \"b\"]\n";
        assert_eq!(quoted_list(one, "targets"), ["a", "b"]);
        let many = "components = [\"x\"]\ntargets = [\n  \"a\",\n  \"b\",\n]\n";
        assert_eq!(quoted_list(many, "targets"), ["a", "b"]);
        assert!(quoted_list("channel = \"stable\"", "targets").is_empty());
    }

    #[test]
    fn a_tool_is_seen_by_its_probe() {
        let tool = |probe| Tool {
            name: "t",
            probe,
            source: Source::Debian("t"),
            wanted_by: &[For::Test],
        };
        assert!(is_there(&tool(&["true"])));
        assert!(!is_there(&tool(&["false"])));
        assert!(!is_there(&tool(&["no-such-program-anywhere"])));
    }
}
