//! `process_*` metrics with Prometheus's names, read from `/proc/self` at each scrape, and `norn_build_info`.
//!
//! A value that cannot be read is left out. Source: proc_pid_stat(5), proc_pid_status(5), proc_pid_limits(5).

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

use crate::Metrics;

/// The kernel's user-visible clock tick, fixed at 100 Hz on every Linux architecture that Rust's std supports.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn register(metrics: &Metrics, role: &'static str) {
    let facts = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("rustversion", env!("CARGO_PKG_RUST_VERSION")),
        ("role", role),
    ];
    metrics.register(|registry| {
        registry.register("norn_build", "What this process was built from", Info::new(facts));
        registry.register_collector(Box::new(ProcessCollector));
    });
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let stat = stat.as_deref();
        if let Some(seconds) = stat.and_then(cpu_seconds) {
            let counter = ConstCounter::new(seconds);
            let help = "Total user and system CPU time spent in seconds";
            let metric =
                encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let gauges = [
            (
                "process_start_time_seconds",
                "Start time of the process since the Unix epoch in seconds",
                stat.and_then(|s| start_seconds(s, &boot)),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                status_bytes(&status, "VmRSS:"),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes",
                status_bytes(&status, "VmSize:"),
            ),
            ("process_threads", "Number of threads", status_number(&status, "Threads:")),
            (
                "process_open_fds",
                "Number of open file descriptors",
                fs::read_dir("/proc/self/fd").ok().map(|dir| dir.count() as f64),
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                status_number(&limits, "Max open files"),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Returns field `number` of `/proc/self/stat` counted from 1, as proc(5) does. The second field is a name in parentheses
/// that may hold anything, so counting begins behind it.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, boot: &str) -> Option<f64> {
    Some(status_number(boot, "btime")? + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_number(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn status_bytes(text: &str, key: &str) -> Option<f64> {
    status_number(text, key).map(|kibibytes| kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernel_s_files() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 8 0 12345 1000 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(start_seconds(stat, "cpu 1 2\nbtime 1000\n"), Some(1123.45));
        assert_eq!(status_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12288.0));
        assert_eq!(status_number("Max open files   1024   4096  files\n", "Max open files"), Some(1024.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn own_metrics_have_prometheus_names() {
        let metrics = Metrics::default();
        register(&metrics, "test");
        let text = metrics.encode();
        for name in [
            "\nprocess_cpu_seconds_total ",
            "\nprocess_resident_memory_bytes ",
            "\nprocess_start_time_seconds ",
            "\nprocess_open_fds ",
            "\nprocess_max_fds ",
            "\nnorn_build_info{version=\"",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }
}
