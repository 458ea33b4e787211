//! Scripts of file operations: commands are separated by `;`, their arguments by `,`.
//!
//! A path is `MOUNT:REST`: the folder that the host hands out under that name, and a path that goes to the host as it is. Each
//! command answers with a line: what it found, `ok`, or the error.

mod standard;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DirectoryEntryStream, ErrorCode, NewTimestamp, OpenFlags,
    PathFlags, filesystem_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

pub use standard::with_std;

type Answer = Result<String, String>;

/// Runs a script.
pub fn run(script: &str) -> String {
    let mut shell = Shell {
        mounts: get_directories(),
        held: Vec::new(),
        listings: Vec::new(),
    };
    let mut lines = String::new();
    for command in script.split(';').filter(|command| !command.is_empty()) {
        let arguments: Vec<&str> = command.split(',').collect();
        match shell.command(&arguments) {
            Ok(line) | Err(line) => lines.push_str(&line),
        }
        lines.push('\n');
    }
    lines
}

struct Shell {
    mounts: Vec<(Descriptor, String)>,
    held: Vec<Descriptor>,
    listings: Vec<DirectoryEntryStream>,
}

/// The error as the interface calls it, such as `no-entry`.
fn told(error: ErrorCode) -> String {
    error.name().to_owned()
}

fn ok<T>(result: Result<T, ErrorCode>) -> Answer {
    result.map(|_| "ok".to_owned()).map_err(told)
}

/// Why a stream failed, as the interface tells it.
fn stream_error(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => {
            filesystem_error_code(&error).map_or_else(|| error.to_debug_string(), told)
        }
    }
}

fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    stream.blocking_flush()
}

impl Shell {
    fn command(&mut self, arguments: &[&str]) -> Answer {
        match *arguments {
            ["mounts"] => Ok(self.names()),
            ["write", path, text] => self.write(path, text),
            ["stream", path, offset, length] => self.stream(path, number(offset), number(length)),
            ["append", path, text] => self.append(path, text.as_bytes()),
            ["read", path] => self.read(path),
            ["size", path] => self.stat(path),
            ["list", path] => self.list(path),
            ["mkdir", path] => self.at(path, |dir, path| ok(dir.create_directory_at(path))),
            ["rmdir", path] => self.at(path, |dir, path| ok(dir.remove_directory_at(path))),
            ["unlink", path] => self.at(path, |dir, path| ok(dir.unlink_file_at(path))),
            ["readlink", path] => self.at(path, |dir, path| dir.readlink_at(path).map_err(told)),
            ["symlink", target, path] => {
                self.at(path, |dir, path| ok(dir.symlink_at(target, path)))
            }
            ["rename", path, to] => self.at(path, |dir, path| {
                self.at(to, |to, new| ok(dir.rename_at(path, to, new)))
            }),
            ["link", path, to] => self.at(path, |dir, path| {
                self.at(to, |to, new| {
                    ok(dir.link_at(PathFlags::empty(), path, to, new))
                })
            }),
            ["resize", path, size] => {
                let file = self.open(path, OpenFlags::empty(), DescriptorFlags::WRITE)?;
                ok(file.set_size(number(size)))
            }
            ["touch", path] => ok(Ok(self.open(
                path,
                OpenFlags::CREATE,
                DescriptorFlags::WRITE,
            )?)),
            ["times", path] => self.at(path, |dir, path| {
                let now = NewTimestamp::Now;
                ok(dir.set_times_at(PathFlags::empty(), path, now, now))
            }),
            ["hold", path] => {
                let file = self.open(path, OpenFlags::empty(), DescriptorFlags::READ)?;
                self.held.push(file);
                Ok("ok".to_owned())
            }
            ["release"] => {
                self.held.clear();
                Ok("ok".to_owned())
            }
            ["fill", path, size] => Ok(self.fill(path, number(size))),
            ["many", path, count] => Ok(counted(count, |n| {
                self.command(&["touch", &format!("{path}-{n}")])
            })),
            ["opens", path, count] => Ok(counted(count, |_| self.command(&["hold", path]))),
            ["listings", path, count] => Ok(counted(count, |_| self.begin_listing(path))),
            _ => Err(format!("no such command: {arguments:?}")),
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.mounts.iter().map(|(_, name)| name.as_str()).collect();
        names.join(",")
    }

    fn at(&self, path: &str, work: impl FnOnce(&Descriptor, &str) -> Answer) -> Answer {
        let (mount, path) = path.split_once(':').ok_or("a path without a mount")?;
        let mount = self.mounts.iter().find(|(_, name)| name == mount);
        work(&mount.ok_or("not mounted")?.0, path)
    }

    fn open(
        &self,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Descriptor, String> {
        let mut opened = None;
        self.at(path, |dir, path| {
            let file = dir.open_at(PathFlags::SYMLINK_FOLLOW, path, open, flags);
            opened = Some(file.map_err(told)?);
            Ok(String::new())
        })?;
        opened.ok_or_else(|| "nothing opened".to_owned())
    }

    fn write(&self, path: &str, text: &str) -> Answer {
        let open = OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = self.open(path, open, DescriptorFlags::WRITE)?;
        let written = file.write(text.as_bytes(), 0).map_err(told)?;
        Ok(format!("{written}"))
    }

    fn stream(&self, path: &str, offset: u64, length: u64) -> Answer {
        let file = self.open(path, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
        let stream = file.write_via_stream(offset).map_err(told)?;
        let bytes = vec![b'x'; usize::try_from(length).unwrap_or(usize::MAX)];
        write_all(&stream, &bytes).map_err(stream_error)?;
        Ok("ok".to_owned())
    }

    fn append(&self, path: &str, bytes: &[u8]) -> Answer {
        let file = self.open(path, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
        let stream = file.append_via_stream().map_err(told)?;
        write_all(&stream, bytes).map_err(stream_error)?;
        Ok("ok".to_owned())
    }

    fn read(&self, path: &str) -> Answer {
        let file = self.open(path, OpenFlags::empty(), DescriptorFlags::READ)?;
        let (bytes, _) = file.read(1 << 16, 0).map_err(told)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn stat(&self, path: &str) -> Answer {
        self.at(path, |dir, path| {
            let stat = dir.stat_at(PathFlags::empty(), path).map_err(told)?;
            Ok(stat.size.to_string())
        })
    }

    fn list(&self, path: &str) -> Answer {
        let dir = self.open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
        let entries = dir.read_directory().map_err(told)?;
        let mut names = Vec::new();
        while let Some(entry) = entries.read_directory_entry().map_err(told)? {
            names.push(entry.name);
        }
        names.sort();
        Ok(names.join(","))
    }

    fn begin_listing(&mut self, path: &str) -> Answer {
        let dir = self.open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
        self.listings.push(dir.read_directory().map_err(told)?);
        Ok("ok".to_owned())
    }

    /// Appends until that is refused: how much went in, and the error.
    fn fill(&self, path: &str, size: u64) -> String {
        let bytes = vec![b'x'; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut written = 0;
        loop {
            if let Err(error) = self.append(path, &bytes) {
                return format!("{written} {error}");
            }
            written += size;
        }
    }
}

/// Does something until it fails: how often it went well, and the error.
fn counted(most: &str, mut work: impl FnMut(u64) -> Answer) -> String {
    for n in 0..number(most) {
        if let Err(error) = work(n) {
            return format!("{n} {error}");
        }
    }
    format!("{most} ok")
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
