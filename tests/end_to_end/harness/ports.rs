//! Ports for processes of this run, below the range from which the system takes ports of outgoing connections.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;
/// Test runners may run each test in a process of its own: each begins somewhere else.
const A_PROCESS: u16 = 128;

static TAKEN: AtomicU16 = AtomicU16::new(0);

/// Returns the first of `count` consecutive ports that nobody listens on; no two calls return the same.
pub(crate) fn free_ports(count: u16) -> u16 {
    let start = (std::process::id() as u16).wrapping_mul(A_PROCESS) % COUNT;
    for _attempt in 0..COUNT / count {
        let taken = TAKEN.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + start.wrapping_add(taken) % (COUNT - count);
        let all_free = (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        if all_free {
            return first;
        }
    }
    panic!("no {count} consecutive free ports");
}
