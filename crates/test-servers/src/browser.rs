//! A browser without a window, steered through WebDriver (<https://www.w3.org/TR/webdriver2/>) as a person would: it opens pages,
//! finds what is on them, types and clicks.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const MISSING: &str =
    "this test needs a browser: `apt-get install chromium chromium-driver` (Debian)";
/// How long something may take to appear on a page of a busy machine, in milliseconds.
const APPEARS: u64 = 60_000;
/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium, with a profile of its own. It ends with this value.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let (driver, port) = driver();
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            profile,
        };
        let profile = browser.profile.path().display().to_string();
        let options = json!({ "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", format!("--user-data-dir={profile}"),
        ] });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = browser.ask("POST", "/session", &wanted);
        let session = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{session}");
        browser.does("/timeouts", &json!({ "implicit": APPEARS }));
        browser
    }

    /// Opens a page, and returns when it is loaded.
    pub fn open(&self, url: &str) {
        self.does("/url", &json!({ "url": url }));
    }

    /// Loads the page anew.
    pub fn reload(&self) {
        self.does("/refresh", &json!({}));
    }

    /// Waits until an element is there, and clicks it.
    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.does(&format!("{element}/click"), &json!({}));
    }

    /// Types into a field. For one that takes files, the text is the path of a file.
    pub fn write(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.does(&format!("{element}/value"), &json!({ "text": text }));
    }

    /// Chooses a file in a field for files.
    pub fn choose(&self, css: &str, file: &Path) {
        self.write(css, file.to_str().expect("a path of text"));
    }

    /// Waits until an element is there, and says what a person reads in it.
    #[must_use]
    pub fn text(&self, css: &str) -> String {
        let path = format!("{}{}/text", self.session, self.element(css));
        let text = self.ask("GET", &path, &Value::Null);
        text.as_str().expect("a text").to_owned()
    }

    /// Waits until an element is there, also when the page is loaded anew meanwhile: a script that waits would go with its page.
    pub fn wait_for(&self, css: &str) {
        let _ = self.element(css);
    }

    /// What a script on the page returns.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        self.does("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn element(&self, css: &str) -> String {
        let found = self.does(
            "/element",
            &json!({ "using": "css selector", "value": css }),
        );
        let id = found[ELEMENT].as_str();
        format!("/element/{}", id.expect("an element"))
    }

    fn does(&self, what: &str, how: &Value) -> Value {
        self.ask("POST", &format!("{}{what}", self.session), how)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        let patience = Some(Duration::from_millis(2 * APPEARS));
        stream.set_read_timeout(patience).expect("a time");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .expect("the driver takes questions");
        let said: Value = serde_json::from_slice(&body_of(stream)).expect("JSON");
        let value = said["value"].clone();
        assert!(value["error"].is_null(), "{method} {path} {body}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser would outlive its driver.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let session = &self.session;
            let asked = write!(
                stream,
                "DELETE {session} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
            );
            // It answers when the browser is gone.
            let _ = asked.and_then(|()| stream.read(&mut [0]));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The body of an answer. Its length says where it ends: the driver leaves the connection open.
fn body_of(stream: TcpStream) -> Vec<u8> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a head");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    body
}

/// The driver, and the port that it has chosen.
fn driver() -> (Child, u16) {
    let started = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut driver = started.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
    let mut said = String::new();
    let port = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it ended:\n{said}"));
        let line = line.expect("a line");
        if let Some((_, port)) = line.split_once("successfully on port ") {
            break port.trim_end_matches('.').parse().expect("a port");
        }
        said += &format!("{line}\n");
    };
    // Somebody has to read on, or the driver would wait one day.
    std::thread::spawn(move || lines.for_each(drop));
    (driver, port)
}
