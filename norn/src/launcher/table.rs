//! What the launcher tells a person.

use std::path::Path;
use std::time::Duration;

use crate::cli::ClusterFlags;
use crate::launcher::children::Children;
use crate::launcher::plan::Plan;

/// Prints who runs where.
pub(crate) fn print(plan: &Plan, children: &Children) {
    let address = plan.nodes.iter().map(|node| node.http_address.len()).max().unwrap_or(0).max(15);
    println!("{:<9}  {:<11}  {:>7}  {:<15}  {:<address$}  LOG", "ROLE", "NAME", "PID", "GRPC", "HTTP");
    for node in &plan.nodes {
        let pid = children.pid(&node.name).map(|pid| pid.to_string()).unwrap_or_default();
        let grpc = node.grpc_address.as_deref().unwrap_or("-");
        println!(
            "{:<9}  {:<11}  {pid:>7}  {grpc:<15}  {:<address$}  {}",
            node.role.as_str(),
            node.name,
            node.http_address,
            short(&node.log)
        );
    }
}

/// Prints how to use it.
pub(crate) fn print_ready(plan: &Plan, flags: &ClusterFlags, took: Duration) {
    let url = &plan.url;
    println!("ready in {:.1} s: {url}", took.as_secs_f64());
    if flags.config_file.is_none() {
        println!("no --config.file: the cluster scrapes itself, as job \"norn\"");
    }
    println!("  curl '{url}/api/v1/query?query=up'");
    println!("Ctrl-C stops all. Until then: kill -9 one of the pids above, and ask again.");
}

/// Returns the command that starts a node again from the current directory.
pub(crate) fn again(plan: &Plan, name: &str) -> String {
    let executable =
        std::env::current_exe().map_or_else(|_| "norn".to_owned(), |path| path.display().to_string());
    let command = plan.command_line(&executable, name).unwrap_or_default();
    match std::env::current_dir() {
        Ok(here) => command.replace(&format!("{}/", here.display()), ""),
        Err(_) => command,
    }
}

/// Returns a path relative to the current directory when it is below it.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    relative.unwrap_or(path).display().to_string()
}
