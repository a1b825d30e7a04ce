//! Polls `/-/ready` with a request small enough to be written by hand.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::launcher::plan::Node;

/// The pause between two rounds of polling.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of an answer, and of a log's end, is read.
const TEXT_BYTES_MAX: u64 = 4096;

/// Returns the nodes that are not ready, with the first reason of each.
pub(crate) async fn not_ready(nodes: &[Node]) -> Vec<(&str, String)> {
    let mut waiting = Vec::new();
    for node in nodes {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, get(&node.http_address)).await;
        match answer {
            Ok(Ok(text)) if text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.0 200") => {}
            Ok(Ok(text)) => {
                let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                waiting
                    .push((node.name.as_str(), body.lines().nth(1).unwrap_or("no reason given").to_owned()));
            }
            Ok(Err(error)) => waiting.push((node.name.as_str(), error.to_string())),
            Err(_) => waiting.push((node.name.as_str(), "no answer in time".to_owned())),
        }
    }
    waiting
}

async fn get(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /-/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(TEXT_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns the last line of a log, or why there is none.
pub(crate) fn last_line(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TEXT_BYTES_MAX)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end);
        Ok(end.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").to_owned())
    };
    read().unwrap_or_else(|error| format!("its log cannot be read: {error}"))
}
