//! Lists the files of `dist/` as a table in Rust, so that they are part of the binary. It builds no page: that is done in `ui/`
//! at the top of the tree, with node, and its result is committed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let dist = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    let mut table = format!("static ASSETS: [Asset; {}] = [\n", files.len());
    for file in files {
        let name = file.strip_prefix(&dist).expect("it was found below").to_string_lossy().replace('\\', "/");
        let written =
            writeln!(table, "    Asset::new({name:?}, include_bytes!({:?})),", file.display().to_string());
        written.expect("writing to memory cannot fail");
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("assets.rs"), table)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
