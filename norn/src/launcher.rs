//! `norn cluster`: a local cluster of separate processes of this executable, for trying out what happens when one dies.
//!
//! 1. [`plan`] decides names, ports, directories and configuration files: a pure function of the flags.
//! 2. Every port is tried, and the plan is written down as `<data dir>/cluster/<name>/norn.yml`.
//! 3. Each process is started with its log in a file; [`table`] prints who is where.
//! 4. The launcher polls `/-/ready` of all; a process that ends before ends the start.
//! 5. Afterwards it only watches: one line for each process that ends, nothing is restarted.
//! 6. SIGINT or SIGTERM stops all, readers and writers before ingesters; who does not stop in time is killed.
//!
//! Children die with the launcher, also by `kill -9`: each asks the kernel for SIGKILL when its parent thread ends, which
//! is why everything here runs on the main thread.

mod children;
mod plan;
mod ready;
mod table;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::cli::ClusterFlags;
use crate::data_dir::DataDir;
use crate::fault::Fault;
use crate::features::Features;
use crate::signals::Signals;
use crate::{listen, settings};
use children::{Children, Ended};
use plan::Plan;

/// How long one stage of the stop may take before its processes are killed; longer than a process gives itself.
const STAGE_DEADLINE: Duration = Duration::from_secs(15);
/// How often it is said whom the start waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs a local cluster until SIGINT or SIGTERM, or until its last process ended.
///
/// # Errors
/// One line, when the cluster cannot start.
pub(crate) fn run(flags: &ClusterFlags) -> Result<(), Fault> {
    service::logs::init(flags.process.logs.level.as_str(), flags.process.logs.format.as_str())
        .map_err(Fault::usage)?;
    Features::new(&flags.process.features).report();
    if let Some(file) = &flags.config_file {
        settings::read(file)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Fault::failed(format!("cannot start the runtime: {error}")))?
        .block_on(launch(flags))
}

/// Makes this process end when the launcher does.
///
/// # Errors
/// When the launcher has ended already.
pub(crate) fn die_with_parent(launcher: u32) -> Result<(), Fault> {
    let result = set_parent_process_death_signal(Some(Signal::KILL));
    result.map_err(|error| Fault::failed(format!("cannot follow the launcher: {error}")))?;
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(launcher) {
        return Err(Fault::failed(format!("the launcher (pid {launcher}) has ended")));
    }
    Ok(())
}

async fn launch(flags: &ClusterFlags) -> Result<(), Fault> {
    let began = Instant::now();
    let mut signals = Signals::listen().map_err(|error| Fault::failed(format!("signals: {error}")))?;
    fs::create_dir_all(&flags.storage.data_dir)
        .map_err(|error| cannot_write(&flags.storage.data_dir, &error))?;
    let data_dir = flags.storage.data_dir.canonicalize();
    let data_dir = data_dir.map_err(|error| cannot_write(&flags.storage.data_dir, &error))?;
    let _held = DataDir::open(&data_dir.join(plan::DIRECTORY))?;
    let plan = Plan::new(flags, &data_dir)?;
    for (address, setting) in plan.addresses() {
        listen::bind(address, setting).await?;
    }
    keep_ports(flags.base_port, &data_dir)?;
    write(&plan)?;
    let mut children = Children::default();
    for node in &plan.nodes {
        children.start(node)?;
    }
    table::print(&plan, &children);
    tokio::select! {
        started = start(&plan, &mut children) => started?,
        signal = signals.next() => {
            println!("{signal}: stopping");
            stop(&plan, &mut children, &mut signals).await;
            return Ok(());
        }
    }
    table::print_ready(&plan, flags, began.elapsed());
    watch(&plan, &mut children, &mut signals).await;
    stop(&plan, &mut children, &mut signals).await;
    Ok(())
}

/// Holds the base port of a cluster's first start: its processes find one another where they were.
fn keep_ports(base_port: u16, data_dir: &Path) -> Result<(), Fault> {
    let file = data_dir.join(plan::DIRECTORY).join("base-port");
    match fs::read_to_string(&file) {
        Ok(kept) if kept.trim() == base_port.to_string() => Ok(()),
        Ok(kept) => Err(Fault::usage(format!(
            "the cluster in {} was started with --cluster.base-port {}: give the same one, or choose another --data.dir",
            data_dir.display(),
            kept.trim()
        ))),
        Err(_) => fs::write(&file, base_port.to_string()).map_err(|error| cannot_write(&file, &error)),
    }
}

/// Writes the directories and configuration files of all nodes.
fn write(plan: &Plan) -> Result<(), Fault> {
    for node in &plan.nodes {
        fs::create_dir_all(&node.directory).map_err(|error| cannot_write(&node.directory, &error))?;
    }
    for (path, text) in plan.files() {
        fs::write(&path, text).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &io::Error) -> Fault {
    Fault::usage(format!("{}: {error}: make it writable or choose another --data.dir", path.display()))
}

/// Waits until every process is ready, and fails when one ends before.
async fn start(plan: &Plan, children: &mut Children) -> Result<(), Fault> {
    let all_ready = async {
        let mut told = Instant::now();
        loop {
            let waiting = ready::not_ready(&plan.nodes).await;
            let Some((name, reason)) = waiting.first() else { return };
            if told.elapsed() >= PATIENCE {
                println!("waiting for {} of {}: {name}: {reason}", waiting.len(), plan.nodes.len());
                told = Instant::now();
            }
            tokio::time::sleep(ready::PAUSE).await;
        }
    };
    tokio::select! {
        () = all_ready => Ok(()),
        ended = children.next_ended() => {
            let Some(Ended { name, pid, how, log, .. }) = ended else { return Ok(()) };
            let last = ready::last_line(&log);
            Err(Fault::failed(format!("{name} (pid {pid}) {how} before it was ready: {last} (log: {})", log.display())))
        }
    }
}

/// Reports each process that ends, until a signal comes or none is left.
async fn watch(plan: &Plan, children: &mut Children, signals: &mut Signals) {
    loop {
        tokio::select! {
            signal = signals.next() => {
                println!("{signal}: stopping");
                return;
            }
            ended = children.next_ended() => match ended {
                None => {
                    println!("all processes have ended");
                    return;
                }
                Some(ended) => {
                    let again = table::again(plan, &ended.name);
                    println!("{} (pid {}) {}; the others go on. Start it again: {again}", ended.name, ended.pid, ended.how);
                }
            },
        }
    }
}

/// Stops all processes, stage by stage; a second signal kills what is left.
async fn stop(plan: &Plan, children: &mut Children, signals: &mut Signals) {
    for stage in plan.stop_stages() {
        children.signal(&stage, Signal::TERM);
        let ended = async {
            while children.any_running(&stage) {
                children.next_ended().await;
            }
        };
        let in_time = tokio::select! {
            done = tokio::time::timeout(STAGE_DEADLINE, ended) => done.is_ok(),
            _ = signals.next() => false,
        };
        if !in_time {
            for name in stage.iter().filter(|name| children.is_running(name)) {
                println!("{name} did not stop in time and is killed");
            }
            children.signal(&stage, Signal::KILL);
            while children.any_running(&stage) {
                children.next_ended().await;
            }
        }
    }
    println!("stopped");
}
