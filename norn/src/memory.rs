//! How much memory this process may use: what the machine has, or less where a control group says so.
//!
//! Source: proc_meminfo(5), cgroups(7), and the kernel's documents of `memory.max` (v2) and `memory.limit_in_bytes` (v1).

use std::fs;

/// What queries may hold together when nobody says: this part, in percent, of what the process may use.
const QUERIES_PERCENT: u64 = 40;
/// What the process may use where the system does not tell.
const UNKNOWN_BYTES: u64 = 8 << 30;

/// Returns what all queries together may hold when nobody says.
pub(crate) fn for_queries_bytes() -> u64 {
    let read = |path: &str| fs::read_to_string(path).ok();
    usable_bytes(&read).unwrap_or(UNKNOWN_BYTES) / 100 * QUERIES_PERCENT
}

/// Returns what this process may use, `None` where the system does not tell.
fn usable_bytes(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| total_bytes(&text));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| read(&file)?.trim().parse().ok());
    machine.into_iter().chain(limits).min()
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the files that may limit a control group, given as `id:controllers:path`, and the groups above it.
fn limit_files(line: &str) -> Vec<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (root, name) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    // Within a container the path is often the host's, and the container's own group lies at the root.
    let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path.trim_end_matches('/')]);
    above.map(|path| format!("{root}{path}/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(files: &[(&str, &str)]) -> Option<u64> {
        usable_bytes(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_tightest_limit_counts() {
        let machine = ("/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
        let two = ("/proc/self/cgroup", "0::/a/b\n");
        let one = ("/proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/docker/7\n");
        for (files, expected) in [
            (&[][..], None),
            (&[machine][..], Some(1_024_000)),
            (&[machine, two, ("/sys/fs/cgroup/a/b/memory.max", "max\n")], Some(1_024_000)),
            (&[machine, two, ("/sys/fs/cgroup/a/memory.max", "5000\n")], Some(5000)),
            (&[machine, two, ("/sys/fs/cgroup/memory.max", "9000\n")], Some(9000)),
            (&[machine, one, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n")], Some(7000)),
            (&[machine, one, ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n")], Some(1_024_000)),
            (&[machine, one, ("/sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes", "8\n")], Some(8)),
        ] {
            assert_eq!(usable(files), expected, "{files:?}");
        }
    }

    #[test]
    fn queries_get_a_part_of_this_machine() {
        assert!(for_queries_bytes() > 0);
    }
}
