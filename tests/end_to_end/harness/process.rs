//! One process of the binary under test.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::harness::{Api, until};

/// How much of a log is printed when a test fails.
const LOG_LINES: usize = 60;

/// A running process; killed when dropped.
pub(crate) struct Norn {
    child: Child,
    log: PathBuf,
    /// Where its HTTP server is.
    pub(crate) address: String,
}

/// How a process that refused to run ended.
pub(crate) struct Refusal {
    pub(crate) code: Option<i32>,
    /// Everything it wrote to standard error.
    pub(crate) text: String,
}

impl Norn {
    /// Starts the binary with its standard output and error in `<dir>/<name>.log`, appended.
    pub(crate) fn start(dir: &Path, name: &str, address: &str, arguments: &[String]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_norn"))
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Self { child, log, address: address.to_owned() }
    }

    /// Starts `norn standalone` on `port` with its data in `<dir>/data`, and waits until it is ready.
    pub(crate) async fn standalone(dir: &Path, port: u16, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut arguments = vec!["standalone".to_owned(), format!("--web.listen-address={address}")];
        arguments.push(format!("--data.dir={}", dir.join("data").display()));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut norn = Self::start(dir, "standalone", &address, &arguments);
        norn.ready().await;
        norn
    }

    /// Waits until `/-/ready` says yes; fails when the process ends before.
    pub(crate) async fn ready(&mut self) {
        let api = self.api();
        until("readiness", async || {
            let ended = self.child.try_wait().expect("the child can be asked");
            assert!(ended.is_none(), "the process ended before it was ready: {ended:?}");
            api.ready().await
        })
        .await;
    }

    /// Returns a client of its HTTP API.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.address)
    }

    /// Returns its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be reaped");
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the end of a process", async || {
            let ended = self.child.try_wait().expect("the child can be asked");
            ended.ok_or_else(|| format!("it still runs; its log: {}", self.log_text()))
        })
        .await
    }

    /// Tells whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// Returns what it wrote.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs the binary with arguments that it must refuse, and returns how it did.
    pub(crate) fn refuses(dir: &Path, arguments: &[&str]) -> Refusal {
        let output = Command::new(env!("CARGO_BIN_EXE_norn")).args(arguments).current_dir(dir).output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.signal(), None, "it must refuse by itself");
        Refusal { code: output.status.code(), text: String::from_utf8_lossy(&output.stderr).into_owned() }
    }
}

impl Drop for Norn {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            print_end(&self.log);
        }
    }
}

/// Sends a signal to a process that this run started.
pub(crate) fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{signal} {pid}");
}

/// Prints the end of a log, for whoever reads why a test failed.
pub(crate) fn print_end(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
    eprintln!("---- end of {} ----\n{}", log.display(), end.join("\n"));
}
