//! Holds the source tree against the rules of how Norn is built: who may import whom, who owns which heavy dependency,
//! how long files and functions may be, and that every file says what it is.
//!
//! The rules stand here; the checkers in `layering/` know none of them and are tested on small inputs of their own. A
//! new edge between crates is therefore a visible change of this file.

#[path = "layering/graph.rs"]
mod graph;
#[path = "layering/manifest.rs"]
mod manifest;
#[path = "layering/sizes.rs"]
mod sizes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use graph::{Exception, Kind, Owner, Rules};
use sizes::{Limits, LongFunction};

const ROLES: [&str; 6] = ["scraper", "ingester", "gateway", "querier", "compactor", "ruler"];

/// Lowest first; a crate may import only crates of lower layers.
const LAYERS: [&[&str]; 7] = [
    &["model", "service"],
    &["proto", "chunk", "wal", "storage", "batch", "config", "tsdb"],
    &["head", "block", "promql", "consensus", "cluster", "scrape", "selection", "ui"],
    &["api", "session"],
    &ROLES,
    &["norn"],
    &["tests"],
];

/// Edges that the layers forbid and that stand nevertheless, each for a reason.
const EXCEPTIONS: [Exception; 4] = [
    Exception {
        from: "norn",
        to: "tests",
        kind: Kind::Dev,
        reason: "the end-to-end tests of the binary need its path, which cargo gives only to its own package, and the S3 server",
    },
    Exception { from: "compactor", to: "tests", kind: Kind::Dev, reason: "its tests need a control group" },
    Exception { from: "ruler", to: "tests", kind: Kind::Dev, reason: "its tests need a control group" },
    Exception {
        from: "gateway",
        to: "tests",
        kind: Kind::Dev,
        reason: "its tests count requests at the S3 server",
    },
];

/// Edges that the layers would allow and that must not be: what a crate must not know.
const FORBIDDEN: [(&str, &str, &str); 11] = [
    ("api", "head", "the HTTP API sees data only through the storage ports"),
    ("api", "block", "the HTTP API sees data only through the storage ports"),
    ("api", "service", "the HTTP API does not know which process it runs in"),
    ("api", "cluster", "the HTTP API does not know which process it runs in"),
    ("session", "head", "a session routes samples, it keeps none"),
    ("session", "block", "a session routes samples, it keeps none"),
    ("promql", "chunk", "the engine sees data only through the storage ports"),
    ("promql", "proto", "wire types do not travel inward"),
    ("cluster", "proto", "the control state is pure: commands come in its own encoding"),
    ("head", "proto", "wire types do not travel inward"),
    ("block", "proto", "wire types do not travel inward"),
];

/// Who may use which heavy dependency in production code. A name that ends in `*` stands for all that begin so.
const OWNERS: [Owner; 19] = [
    Owner { dependency: "regex*", crates: &["model"], roles: false },
    Owner { dependency: "openraft*", crates: &["consensus"], roles: false },
    Owner { dependency: "parquet*", crates: &["block"], roles: false },
    Owner { dependency: "arrow*", crates: &["block"], roles: false },
    Owner { dependency: "fst", crates: &["block"], roles: false },
    Owner {
        dependency: "object_store",
        crates: &["block", "ingester", "gateway", "compactor", "norn"],
        roles: false,
    },
    Owner { dependency: "tonic", crates: &["proto", "session", "norn", "tests"], roles: true },
    Owner { dependency: "tonic-prost*", crates: &["proto"], roles: false },
    Owner { dependency: "prost", crates: &["proto", "api", "ingester", "norn"], roles: false },
    Owner { dependency: "axum*", crates: &["service", "api", "ui", "norn"], roles: true },
    Owner { dependency: "hyper*", crates: &["scraper", "tests"], roles: false },
    Owner { dependency: "reqwest", crates: &[], roles: false },
    Owner { dependency: "kube*", crates: &["discovery"], roles: false },
    Owner { dependency: "serde-saphyr", crates: &["config", "block"], roles: false },
    Owner { dependency: "tracing-subscriber", crates: &["service"], roles: false },
    Owner { dependency: "prometheus-client", crates: &["service", "session", "norn"], roles: true },
    Owner { dependency: "clap", crates: &["norn"], roles: false },
    Owner { dependency: "anyhow", crates: &["norn", "tests"], roles: false },
    Owner { dependency: "s3s*", crates: &["tests"], roles: false },
];

const LIMITS: Limits = Limits { file_lines_max: 800, file_lines_noted: 500, function_lines_max: 70 };

/// Functions that are longer than the limit, each for a reason.
const LONG_FUNCTIONS: [LongFunction; 0] = [];

fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo can be started, it started this test");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn package_dirs(metadata: &serde_json::Value) -> Vec<PathBuf> {
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let manifests =
        packages.iter().map(|package| package["manifest_path"].as_str().expect("each has a path"));
    manifests.map(|path| Path::new(path).parent().expect("a manifest lies in a folder").to_owned()).collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn crates_import_only_what_lies_below_them() {
    let rules = Rules {
        layers: &LAYERS,
        exceptions: &EXCEPTIONS,
        forbidden: &FORBIDDEN,
        owners: &OWNERS,
        roles: &ROLES,
    };
    let packages = graph::packages(&metadata());
    assert!(packages.len() > 20, "cargo metadata lists all crates, got {}", packages.len());
    assert_none(&graph::check(&packages, &rules));
}

#[test]
fn manifests_take_versions_features_and_lints_from_the_workspace() {
    let metadata = metadata();
    let mut faults = Vec::new();
    for dir in package_dirs(&metadata) {
        let path = dir.join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("cargo read it just before");
        faults.extend(manifest::check(&path.display().to_string(), &text));
    }
    assert_none(&faults);
}

#[test]
fn files_and_functions_keep_their_limits() {
    let metadata = metadata();
    let root = PathBuf::from(metadata["workspace_root"].as_str().expect("cargo metadata names the root"));
    let files: Vec<_> = package_dirs(&metadata).iter().flat_map(|dir| sizes::source_files(dir)).collect();
    assert!(files.len() > 50, "all source files are found, got {}", files.len());
    let (mut faults, mut noted, mut long) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).expect("a source file is readable text");
        let report = sizes::check(&name, &text, &LIMITS);
        faults.extend(report.faults);
        noted.extend(report.noted);
        long.extend(report.long_functions);
    }
    println!("files of more than {} lines:\n{}", LIMITS.file_lines_noted, noted.join("\n"));
    faults.extend(sizes::check_long_functions(&long, &LONG_FUNCTIONS));
    assert_none(&faults);
}
