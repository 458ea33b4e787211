//! The commands.

use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DirectoryEntry, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip3::wit_bindgen::StreamReader;
use wasip3::wit_stream;

type Answer = Result<String, String>;

/// Runs a script.
pub async fn run(script: &str) -> String {
    let mut shell = Shell {
        mounts: get_directories(),
        held: Vec::new(),
        listings: Vec::new(),
    };
    let mut lines = String::new();
    for command in script.split(';').filter(|command| !command.is_empty()) {
        let arguments: Vec<&str> = command.split(',').collect();
        match shell.command(&arguments).await {
            Ok(line) | Err(line) => lines.push_str(&line),
        }
        lines.push('\n');
    }
    lines
}

struct Shell {
    mounts: Vec<(Descriptor, String)>,
    held: Vec<Descriptor>,
    listings: Vec<StreamReader<DirectoryEntry>>,
}

/// The error as the interface calls it, such as `no-entry`.
fn told(error: ErrorCode) -> String {
    let shown = format!("{error:?}");
    let name = shown.strip_prefix("ErrorCode::").unwrap_or(&shown);
    let words = name.char_indices().map(|(at, c)| match c {
        'A'..='Z' if at > 0 => format!("-{}", c.to_ascii_lowercase()),
        c => c.to_ascii_lowercase().to_string(),
    });
    words.collect()
}

fn ok<T>(result: Result<T, ErrorCode>) -> Answer {
    result.map(|_| "ok".to_owned()).map_err(told)
}

impl Shell {
    async fn command(&mut self, arguments: &[&str]) -> Answer {
        match *arguments {
            ["mounts"] => {
                let names: Vec<_> = self.mounts.iter().map(|(_, name)| name.as_str()).collect();
                Ok(names.join(","))
            }
            ["write", path, text] => {
                let open = OpenFlags::CREATE | OpenFlags::TRUNCATE;
                let file = self.open(path, open, DescriptorFlags::WRITE).await?;
                put(&file, Some(0), text.into()).await?;
                Ok(text.len().to_string())
            }
            ["stream", path, offset, length] => {
                let file = self.open(path, OpenFlags::CREATE, DescriptorFlags::WRITE);
                let bytes = vec![b'x'; number(length) as usize];
                put(&file.await?, Some(number(offset)), bytes).await
            }
            ["append", path, text] => self.append(path, text.into()).await,
            ["read", path] => self.read(path).await,
            ["list", path] => self.list(path).await,
            ["resize", path, size] => {
                let file = self.open(path, OpenFlags::empty(), DescriptorFlags::WRITE);
                ok(file.await?.set_size(number(size)).await)
            }
            ["touch", path] => {
                let file = self.open(path, OpenFlags::CREATE, DescriptorFlags::WRITE);
                file.await.map(|_| "ok".to_owned())
            }
            ["hold", path] => {
                let file = self.open(path, OpenFlags::empty(), DescriptorFlags::READ);
                let file = file.await?;
                self.held.push(file);
                Ok("ok".to_owned())
            }
            ["release"] => {
                self.held.clear();
                Ok("ok".to_owned())
            }
            ["fill", path, size] => Ok(self.fill(path, number(size)).await),
            ["many", path, count] => {
                for n in 0..number(count) {
                    let path = format!("{path}-{n}");
                    let file = self.open(&path, OpenFlags::CREATE, DescriptorFlags::WRITE);
                    if let Err(error) = file.await {
                        return Ok(format!("{n} {error}"));
                    }
                }
                Ok(format!("{count} ok"))
            }
            ["opens", path, count] => {
                for n in 0..number(count) {
                    let file = self.open(path, OpenFlags::empty(), DescriptorFlags::READ);
                    match file.await {
                        Ok(file) => self.held.push(file),
                        Err(error) => return Ok(format!("{n} {error}")),
                    }
                }
                Ok(format!("{count} ok"))
            }
            ["listings", path, count] => self.begin_listings(path, number(count)).await,
            _ => self.at_path(arguments).await,
        }
    }

    /// What works on a name.
    async fn at_path(&self, arguments: &[&str]) -> Answer {
        match *arguments {
            ["size", path] => {
                let (dir, path) = self.at(path)?;
                let stat = dir.stat_at(PathFlags::empty(), path).await.map_err(told)?;
                Ok(stat.size.to_string())
            }
            ["mkdir", path] => {
                let (dir, path) = self.at(path)?;
                ok(dir.create_directory_at(path).await)
            }
            ["rmdir", path] => {
                let (dir, path) = self.at(path)?;
                ok(dir.remove_directory_at(path).await)
            }
            ["unlink", path] => {
                let (dir, path) = self.at(path)?;
                ok(dir.unlink_file_at(path).await)
            }
            ["readlink", path] => {
                let (dir, path) = self.at(path)?;
                dir.readlink_at(path).await.map_err(told)
            }
            ["symlink", target, path] => {
                let (dir, path) = self.at(path)?;
                ok(dir.symlink_at(target.to_owned(), path).await)
            }
            ["rename", path, to] => {
                let ((dir, path), (to, new)) = (self.at(path)?, self.at(to)?);
                ok(dir.rename_at(path, to, new).await)
            }
            ["link", path, to] => {
                let ((dir, path), (to, new)) = (self.at(path)?, self.at(to)?);
                ok(dir.link_at(PathFlags::empty(), path, to, new).await)
            }
            ["times", path] => {
                let (dir, path) = self.at(path)?;
                let now = NewTimestamp::Now;
                ok(dir.set_times_at(PathFlags::empty(), path, now, now).await)
            }
            _ => Err(format!("no such command: {arguments:?}")),
        }
    }

    fn at(&self, path: &str) -> Result<(&Descriptor, String), String> {
        let (mount, path) = path.split_once(':').ok_or("a path without a mount")?;
        let mount = self.mounts.iter().find(|(_, name)| name == mount);
        Ok((&mount.ok_or("not mounted")?.0, path.to_owned()))
    }

    async fn open(
        &self,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Descriptor, String> {
        let (dir, path) = self.at(path)?;
        let opened = dir.open_at(PathFlags::SYMLINK_FOLLOW, path, open, flags);
        opened.await.map_err(told)
    }

    async fn append(&self, path: &str, bytes: Vec<u8>) -> Answer {
        let file = self.open(path, OpenFlags::CREATE, DescriptorFlags::WRITE);
        put(&file.await?, None, bytes).await
    }

    async fn read(&self, path: &str) -> Answer {
        let file = self.open(path, OpenFlags::empty(), DescriptorFlags::READ);
        let (stream, done) = file.await?.read_via_stream(0);
        let bytes = stream.collect().await;
        done.await.map_err(told)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn list(&self, path: &str) -> Answer {
        let dir = self.open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ);
        let (stream, done) = dir.await?.read_directory();
        let entries = stream.collect().await;
        done.await.map_err(told)?;
        let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        Ok(names.join(","))
    }

    /// Begins listings that nobody reads on.
    async fn begin_listings(&mut self, path: &str, count: u64) -> Answer {
        let dir = self.open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ);
        let dir = dir.await?;
        for n in 0..count {
            let (mut stream, done) = dir.read_directory();
            if stream.next().await.is_none() {
                let error = done.await.map_err(told);
                return Ok(format!("{n} {}", error.err().unwrap_or_default()));
            }
            self.listings.push(stream);
        }
        Ok(format!("{count} ok"))
    }

    /// Appends until that is refused: how much went in, and the error.
    async fn fill(&self, path: &str, size: u64) -> String {
        let mut written = 0;
        loop {
            if let Err(error) = self.append(path, vec![b'x'; size as usize]).await {
                return format!("{written} {error}");
            }
            written += size;
        }
    }
}

/// Writes at a place, or at the end.
async fn put(file: &Descriptor, offset: Option<u64>, bytes: Vec<u8>) -> Answer {
    let (mut writer, stream) = wit_stream::new();
    let done = match offset {
        Some(offset) => file.write_via_stream(stream, offset),
        None => file.append_via_stream(stream),
    };
    writer.write_all(bytes).await;
    drop(writer);
    ok(done.await)
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
