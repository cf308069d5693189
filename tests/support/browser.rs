//! A real browser, told what to do over the WebDriver protocol, with authenticators that exist in it alone.
//!
//! Chromium starts with an empty profile in a temporary folder and speaks to nobody but the product under test. The
//! driver's own HTTP server listens on loopback; what it is asked is plain JSON.
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, patience};

/// One browser window. Dropping it ends the browser and its driver.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// A device of the browser's that makes and keeps passkeys.
pub struct Authenticator<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    /// Every host below [`DOMAIN`] is the product at `address`, so that pages have the names they have in earnest.
    pub fn start(address: SocketAddr) -> Self {
        let hosts = format!("--host-resolver-rules=MAP *.{DOMAIN} {address}");
        let profile = TempDir::with_prefix("hotline-browser-").unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .env("XDG_CONFIG_HOME", profile.path())
            .env("XDG_CACHE_HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium-driver is installed: `make test` does that");
        let address = SocketAddr::from(([127, 0, 0, 1], port(driver.stdout.take().unwrap())));
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().join("chromium").display());
        let arguments: Vec<&str> = FLAGS.iter().copied().chain([&*folder, &*hosts]).collect();
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "timeouts": { "script": patience().as_millis() as u64, "pageLoad": patience().as_millis() as u64 },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let told = browser.command("POST", "/session", &asked);
        browser.session = format!("/session/{}", told["sessionId"].as_str().unwrap());
        browser
    }

    pub fn open(&self, url: &str) {
        self.tell("/url", &json!({ "url": url }));
    }

    /// Has the devices make a passkey: the answer as JSON, or the name of the browser's refusal.
    pub fn create(&self, options: &Value) -> Result<Value, String> {
        self.credentials("create", "parseCreationOptionsFromJSON", options)
    }

    /// Has the devices show a passkey.
    pub fn get(&self, options: &Value) -> Result<Value, String> {
        self.credentials("get", "parseRequestOptionsFromJSON", options)
    }

    fn credentials(&self, act: &str, parse: &str, options: &Value) -> Result<Value, String> {
        let script = format!(
            "const [options, tell] = arguments;
             (async () => {{
                 try {{
                     const publicKey = PublicKeyCredential.{parse}(options);
                     const shown = await navigator.credentials.{act}({{ publicKey }});
                     tell({{ credential: shown.toJSON() }});
                 }} catch (error) {{ tell({{ refused: error.name + ': ' + error.message }}); }}
             }})();"
        );
        let told = self.tell("/execute/async", &json!({ "script": script, "args": [options] }));
        match told["refused"].as_str() {
            Some(name) => Err(name.to_owned()),
            None => Ok(told["credential"].clone()),
        }
    }

    /// One that keeps passkeys in itself and verifies its user.
    pub fn authenticator(&self) -> Authenticator<'_> {
        self.authenticator_that(true)
    }

    /// One that takes whoever touches it for its owner.
    pub fn authenticator_without_verification(&self) -> Authenticator<'_> {
        self.authenticator_that(false)
    }

    fn authenticator_that(&self, verifies_users: bool) -> Authenticator<'_> {
        let made = self.tell(
            "/webauthn/authenticator",
            &json!({
                "protocol": "ctap2_1", "transport": "internal", "hasResidentKey": true,
                "hasUserVerification": verifies_users, "isUserConsenting": true, "isUserVerified": verifies_users,
            }),
        );
        Authenticator { browser: self, id: made.as_str().unwrap().to_owned() }
    }

    fn tell(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("{}{path}", self.session), body)
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(patience() * 2)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
        let answer = Answer::read(&mut stream, false).unwrap();
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()["value"].clone()
    }
}

impl Authenticator<'_> {
    /// All it keeps, private keys included.
    pub fn credentials(&self) -> Vec<Value> {
        let path = format!("{}/webauthn/authenticator/{}/credentials", self.browser.session, self.id);
        self.browser.command("GET", &path, &Value::Null).as_array().unwrap().clone()
    }

    pub fn add(&self, credential: &Value) {
        self.browser.tell(&format!("/webauthn/authenticator/{}/credential", self.id), credential);
    }

    pub fn remove(self) {
        let path = format!("{}/webauthn/authenticator/{}", self.browser.session, self.id);
        self.browser.command("DELETE", &path, &Value::Null);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when the session ends; killing it alone would leave the browser.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", &self.session, &Value::Null);
        } else if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = write!(
                stream,
                "DELETE {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.session, self.address
            );
            let _ = stream.set_read_timeout(Some(patience()));
            let _ = Answer::read(&mut stream, false);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn port(stdout: ChildStdout) -> u16 {
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok());
    port.expect("the driver names its port")
}

/// Nobody's, by RFC 6761.
pub const DOMAIN: &str = "hotline.example";

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];
