//! What a new user gets wrong: each gets one clear line that says what to do.

use std::fs;
use std::net::TcpListener;

use crate::harness::{Norn, Remote, Target, free_ports, until};

/// Runs the binary with arguments that it must refuse, and returns its one line.
fn one_line(dir: &std::path::Path, arguments: &[&str]) -> String {
    let refusal = Norn::refuses(dir, arguments);
    assert_eq!(refusal.code, Some(2), "{arguments:?}: {}", refusal.text);
    assert_eq!(refusal.text.lines().count(), 1, "{arguments:?}: {}", refusal.text);
    refusal.text.trim_end().to_owned()
}

#[test]
fn command_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    for (arguments, expected) in [
        (
            &["standalone", "--web.listen-adress=:1"][..],
            "norn: unknown flag --web.listen-adress: did you mean --web.listen-address?",
        ),
        (&["standalon"], "norn: unknown command \"standalon\": did you mean \"standalone\"?"),
        (
            &["standalone", "--config.file=missing.yml"],
            "norn: cannot read the configuration file missing.yml: No such file or directory (os error 2): correct --config.file",
        ),
        (
            &["standalone", "--storage.block-duration=soon"],
            "norn: invalid value 'soon' for '--storage.block-duration <DURATION>': not a valid duration string: \"soon\": see norn <command> --help",
        ),
    ] {
        assert_eq!(one_line(dir.path(), arguments), expected);
    }
}

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, expected) in [
        ("global: {scrape_interval: 15s\n", "line "),
        (
            "global:\n  scrape_intervall: 15s\n",
            "line 2, column 3: unknown key \"scrape_intervall\", did you mean \"scrape_interval\"?",
        ),
        (
            "global: {scrape_interval: soon}\n",
            "global.scrape_interval: not a valid duration string: \"soon\"",
        ),
        (
            "scrape_configs:\n  - job_name: pods\n    kubernetes_sd_configs: [{role: pod}]\n",
            "scrape_configs[0].kubernetes_sd_configs: not supported yet",
        ),
    ] {
        fs::write(dir.path().join("bad.yml"), text).expect("a file");
        let line = one_line(dir.path(), &["standalone", "--config.file=bad.yml"]);
        assert!(line.starts_with("norn: configuration file bad.yml: "), "{line}");
        assert!(line.contains(expected), "{line}\nshould contain {expected}");
    }
}

#[test]
fn a_port_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = held.local_addr().expect("bound").to_string();
    let line = one_line(dir.path(), &["standalone", &format!("--web.listen-address={address}")]);
    let expected = format!(
        "norn: listen tcp {address}: address already in use: stop the other process or choose another --web.listen-address"
    );
    assert_eq!(line, expected);
    let base = format!("--cluster.base-port={}", free_ports(18));
    let line = one_line(dir.path(), &["cluster", &format!("--web.listen-address={address}"), &base]);
    assert_eq!(line, expected);
}

#[tokio::test]
async fn data_directories() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "in the way").expect("a file");
    let listen = format!("--web.listen-address=127.0.0.1:{}", free_ports(1));
    let line = one_line(dir.path(), &["standalone", &listen, "--data.dir=file/data"]);
    assert_eq!(
        line,
        "norn: data directory file/data: not a directory: make it writable for this user or choose another --data.dir"
    );
    let norn = Norn::standalone(dir.path(), free_ports(1), &[]).await;
    let line = one_line(dir.path(), &["standalone", &listen, "--data.dir=data"]);
    let expected = format!(
        "norn: data directory data: held by another norn (pid {}): stop it or choose another --data.dir",
        norn.pid()
    );
    assert_eq!(line, expected);
}

#[tokio::test]
async fn a_target_that_answers_html() {
    let dir = tempfile::tempdir().expect("a directory");
    let page = Target::html().await;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: page\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        page.address
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let norn = Norn::standalone(dir.path(), free_ports(1), &["--config.file=prometheus.yml"]).await;
    let api = norn.api();
    let error = until("the target's error", async || {
        let data = api.data("/api/v1/targets", &[]).await?;
        let target = &data["activeTargets"][0];
        let error = target["lastError"].as_str().filter(|error| !error.is_empty());
        error.map(str::to_owned).ok_or_else(|| data.to_string())
    })
    .await;
    assert!(error.contains("text/html"), "the error should name what was answered: {error}");
    until("up to be 0", async || {
        let up = api.instant("up{job=\"page\"}", None).await?;
        if up.iter().any(|(_, value)| *value == 0.0) { Ok(()) } else { Err(format!("{up:?}")) }
    })
    .await;
}

#[tokio::test]
async fn remote_write_that_is_not_snappy() {
    let dir = tempfile::tempdir().expect("a directory");
    let norn = Norn::standalone(dir.path(), free_ports(1), &[]).await;
    let remote = Remote::new(&norn.address);
    let (status, text) = remote.post(b"not snappy at all".to_vec()).await.expect("an answer");
    assert_eq!(status, 400, "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.contains("snappy"), "the line should say what is expected: {text}");
    let compressed = snap::raw::Encoder::new().compress_vec(b"\xff\xff not protobuf").expect("small");
    let (status, text) = remote.post(compressed).await.expect("an answer");
    assert_eq!(status, 400, "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    norn.api().ready().await.expect("nothing else is affected");
}
