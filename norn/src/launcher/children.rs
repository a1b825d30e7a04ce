//! The processes that the launcher started.
//!
//! Invariant: a signal is sent only to a process that was not reaped, so never to a stranger with the same pid. Reaping
//! and noting happen in one step of the only thread.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::launcher::plan::Node;

/// All of them.
#[derive(Default)]
pub(crate) struct Children {
    running: BTreeMap<String, Running>,
    waits: JoinSet<(String, Option<ExitStatus>)>,
}

struct Running {
    pid: u32,
    log: PathBuf,
}

/// A process that ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// For people: "was killed by signal 9".
    pub(crate) how: String,
    pub(crate) log: PathBuf,
}

impl Children {
    /// Starts a node of the plan; its standard output and error go to its log.
    ///
    /// Must be called on the main thread: the child lives no longer than the thread that started it.
    pub(crate) fn start(&mut self, node: &Node) -> Result<(), Fault> {
        let cannot = |error: std::io::Error| Fault::failed(format!("cannot start {}: {error}", node.name));
        let log = OpenOptions::new().create(true).append(true).open(&node.log).map_err(cannot)?;
        let executable = std::env::current_exe().map_err(cannot)?;
        let child = Command::new(executable)
            .args(&node.arguments)
            .arg(format!("--launcher.pid={}", std::process::id()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(log)
            // Its own process group: Ctrl-C reaches the launcher alone, which stops the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let pid = child.id().expect("a child that was not awaited has a pid");
        self.running.insert(node.name.clone(), Running { pid, log: node.log.clone() });
        self.waits.spawn(wait(node.name.clone(), child));
        Ok(())
    }

    /// Returns the pid of a running process.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.running.get(name).map(|running| running.pid)
    }

    /// Waits for the next process that ends; `None` when none is left. Cancel-safe.
    pub(crate) async fn next_ended(&mut self) -> Option<Ended> {
        let (name, status) = self.waits.join_next().await?.expect("waiting for a child does not panic");
        let Running { pid, log } = self.running.remove(&name).expect("it ran until now");
        Some(Ended { how: describe(status), name, pid, log })
    }

    /// Tells whether a process runs.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// Tells whether any of the named processes runs.
    pub(crate) fn any_running(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.is_running(name))
    }

    /// Sends a signal to those of the named processes that run.
    pub(crate) fn signal(&self, names: &[String], signal: Signal) {
        for running in names.iter().filter_map(|name| self.running.get(name)) {
            if let Some(pid) = i32::try_from(running.pid).ok().and_then(Pid::from_raw) {
                // It may have ended this moment and wait to be reaped; then there is nothing to signal.
                let _ = kill_process(pid, signal);
            }
        }
    }
}

async fn wait(name: String, mut child: Child) -> (String, Option<ExitStatus>) {
    let status = child.wait().await.ok();
    (name, status)
}

fn describe(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "ended".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
