//! Compiles the .proto files with protox, so that no protoc is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "norn/raft.proto",
        "norn/control.proto",
        "norn/ingest.proto",
        "norn/store.proto",
        "norn/query.proto",
        "norn/scrape.proto",
        "prometheus/remote.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let set = protox::compile(files.map(|file| format!("proto/{file}")), ["proto"])?;
    tonic_prost_build::configure().bytes(".norn").compile_fds(set)?;
    Ok(())
}
