//! Drives a real headless browser over Chromium's DevTools pipe.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};

use super::until;

/// A browser with one open page.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    count: u64,
    /// Errors in the console of the browser.
    pub complaints: Vec<String>,
}

/// Returns the path of an installed Chromium.
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    // A placeholder that only prints how to install Chromium does not count.
    let works = |file: &PathBuf| {
        let mut command = Command::new(file);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        file.is_file() && command.status().is_ok_and(|status| status.success())
    };
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(works)
}

impl Browser {
    /// Starts the browser, with its profile in this folder.
    pub fn open(program: &Path, folder: &Path) -> Browser {
        let (to, from) = (folder.join("to"), folder.join("from"));
        for path in [&to, &from] {
            mkfifo(path, Mode::S_IRWXU).unwrap();
        }
        // The browser reads from descriptor 3 and writes to 4.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --hide-scrollbars --user-data-dir=\"$PWD/profile\" --remote-debugging-pipe about:blank 3<to 4>from";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).current_dir(folder).env("HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let to = OpenOptions::new().write(true).open(&to).unwrap();
        let from = BufReader::new(File::open(&from).unwrap());
        let mut browser = Browser { child, to, from, session: None, count: 0, complaints: vec![] };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method of the DevTools protocol and returns its result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params);
        assert!(answer.is_ok(), "{method}: {answer:?}");
        answer.unwrap()
    }

    /// Calls a method of the DevTools protocol that the browser may refuse.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = vec![];
            assert!(self.from.read_until(0, &mut bytes).unwrap() > 0, "the browser ended at {method}");
            let answer: Value = serde_json::from_slice(bytes.strip_suffix(b"\0").unwrap_or(&bytes)).unwrap();
            if answer["id"] == self.count {
                return answer.get("error").map_or_else(|| Ok(answer["result"].clone()), |error| Err(error.clone()));
            }
            match answer["method"].as_str() {
                Some("Log.entryAdded") => self.complaints.push(answer["params"]["entry"].to_string()),
                Some("Runtime.exceptionThrown") => self.complaints.push(answer["params"].to_string()),
                // A confirmation dialog: accept it.
                Some("Page.javascriptDialogOpening") => {
                    let yes = json!({ "id": 0, "method": "Page.handleJavaScriptDialog", "params": { "accept": true }, "sessionId": self.session });
                    self.to.write_all(format!("{yes}\0").as_bytes()).unwrap();
                }
                _ => {}
            }
        }
    }

    /// Evaluates a JavaScript expression in the page.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Navigates to a page and waits until it is loaded.
    #[track_caller]
    pub fn go(&mut self, url: &str) {
        let went = self.call("Page.navigate", json!({ "url": url }));
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        self.loaded();
    }

    #[track_caller]
    fn loaded(&mut self) {
        self.comes_to("the page to be there", "document.readyState === 'complete'");
    }

    /// Waits until an expression is true. A page that is being left gives no answer.
    #[track_caller]
    fn comes_to(&mut self, what: &str, expression: &str) {
        until(what, || {
            let answer = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
            answer.is_ok_and(|answer| answer["result"]["value"] == true)
        });
    }

    /// Returns the text of the page.
    pub fn text(&mut self) -> String {
        self.eval("document.body ? document.body.innerText : ''").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page contains this text.
    #[track_caller]
    pub fn shows(&mut self, what: &str) {
        until(&format!("the page to say {what:?}"), || self.text().contains(what));
    }

    /// Clicks the button found by a selector once it exists, and waits for the next page. The current page may still
    /// change, and a click during the change would be lost.
    #[track_caller]
    pub fn press(&mut self, selector: &str) {
        let found = format!("document.querySelector({})", serde_json::to_string(selector).unwrap());
        let press = format!("(e => (e && (window.pressed = true, e.click()), !!e))({found})");
        until(&format!("a button {selector}"), || self.eval(&press) == true);
        self.comes_to("the page that follows", "!window.pressed && document.readyState === 'complete'");
    }

    /// Sets the width of the screen and the colour scheme.
    pub fn look(&mut self, width: u32, scheme: &str) {
        let params = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", params);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Writes a screenshot of the whole page.
    pub fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        fs::write(file, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
