//! The engine against scripts: our own, and Prometheus's when they lie beside the checkout.

use std::path::{Path, PathBuf};

use promql::Engine;

use crate::promqltest::{self, Arrange};
use crate::pushed::divided;

/// How many of Prometheus's cases must pass; raise it when more do.
const CONFORMANCE_MIN: usize = 2214;

/// Returns the scripts of a folder, in order.
pub(crate) fn scripts_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    paths
}

/// Samples that lie in one place.
const WHOLE: Arrange = |data, _| data;

async fn run_all(folder: &Path, delayed_name_removal: bool, arrange: Arrange) -> (usize, usize, Vec<String>) {
    let engine = Engine::new(promqltest::settings(delayed_name_removal));
    let (mut passed, mut total, mut failures) = (0, 0, Vec::new());
    for path in scripts_in(folder) {
        let text = std::fs::read_to_string(&path).expect("readable");
        let report = promqltest::run(&text, &engine, arrange).await;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name}: {}/{}", report.passed, report.total());
        passed += report.passed;
        total += report.total();
        failures.extend(report.failures.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    (passed, total, failures)
}

async fn check_own(folder: &str, delayed_name_removal: bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    for arrange in [WHOLE, divided] {
        let (passed, _, failures) = run_all(&folder, delayed_name_removal, arrange).await;
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert!(passed > 0, "there are cases in {}", folder.display());
    }
}

#[tokio::test]
async fn own_scripts_pass_with_names_removed_at_once() {
    check_own("stock", false).await;
}

#[tokio::test]
async fn own_scripts_pass_with_names_removed_late() {
    check_own("delayed", true).await;
}

/// Runs Prometheus's scripts; returns how many cases passed, when the scripts are there.
async fn conformance(name: &str, arrange: Arrange) -> Option<usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    if !folder.is_dir() {
        println!("SKIPPED: no conformance scripts at {}", folder.display());
        return None;
    }
    let (passed, total, failures) = run_all(&folder, true, arrange).await;
    for failure in &failures {
        println!("{failure}");
    }
    println!("{name}: {passed}/{total}");
    Some(passed)
}

#[tokio::test]
async fn conformance_with_prometheus() {
    let passed = conformance("conformance", WHOLE).await.unwrap_or(CONFORMANCE_MIN);
    assert!(passed >= CONFORMANCE_MIN, "{passed} cases pass, the floor is {CONFORMANCE_MIN}");
}

#[tokio::test]
async fn conformance_when_pushed() {
    let passed = conformance("conformance when pushed", divided).await.unwrap_or(CONFORMANCE_MIN);
    assert!(passed >= CONFORMANCE_MIN, "{passed} cases pass, the floor is {CONFORMANCE_MIN}");
}
