//! Checks one `Cargo.toml`: versions and features of dependencies, and lints, come from the workspace.
//!
//! Reads lines, not TOML: the manifests are ours, and `cargo metadata` does not say where a version came from.

/// Returns every breach, one sentence each.
pub(crate) fn check(name: &str, text: &str) -> Vec<String> {
    let (mut faults, mut section, mut lints) = (Vec::new(), "", false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let inherited = line.contains("workspace = true");
        if section == "lints" {
            lints |= inherited;
        }
        // The package of tests is nobody's library, so it stands in no workspace table.
        if section.ends_with("dependencies") && !inherited && !line.contains(r#"path = "../tests""#) {
            faults.push(format!("{name}:{}: not taken from the workspace: {line}", index + 1));
        }
    }
    if !lints {
        faults.push(format!("{name}: lints are not taken from the workspace"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_the_workspace_gives() {
        let good = "[lints]\nworkspace = true\n[dependencies]\n# why\nserde = { workspace = true }\nmodel.workspace = true\n\
                    [dev-dependencies]\ntests = { path = \"../tests\" }\n";
        assert_eq!(check("x", good), Vec::<String>::new());
        let own_version = good.replace("serde = { workspace = true }", "serde = \"1\"");
        assert_eq!(check("x", &own_version), ["x:5: not taken from the workspace: serde = \"1\""]);
        let dev = format!("{good}rand = \"1\"\n");
        assert_eq!(check("x", &dev), ["x:9: not taken from the workspace: rand = \"1\""]);
        let no_lints = good.replace("[lints]", "[package]");
        assert_eq!(check("x", &no_lints), ["x: lints are not taken from the workspace"]);
    }
}
