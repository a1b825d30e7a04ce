//! Checks the graph of the workspace's crates against layers, exceptions, forbidden edges and owners.
//!
//! Pure but for its input: what `cargo metadata --no-deps` prints. Production and build dependencies count everywhere;
//! development dependencies count between our own crates, since they too can make a crate impossible to build alone.

use serde_json::Value;

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// One edge.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// One crate of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// An edge that stands against the layers.
pub(crate) struct Exception {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) kind: Kind,
    pub(crate) reason: &'static str,
}

/// Who may use an external dependency.
pub(crate) struct Owner {
    /// A name; `*` at its end stands for anything.
    pub(crate) dependency: &'static str,
    pub(crate) crates: &'static [&'static str],
    /// Whether all roles may, too.
    pub(crate) roles: bool,
}

/// All rules.
pub(crate) struct Rules<'a> {
    pub(crate) layers: &'a [&'a [&'a str]],
    pub(crate) exceptions: &'a [Exception],
    pub(crate) forbidden: &'a [(&'a str, &'a str, &'a str)],
    pub(crate) owners: &'a [Owner],
    pub(crate) roles: &'a [&'a str],
}

/// Reads what cargo printed.
pub(crate) fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().expect("cargo metadata names every package").to_owned();
    let dependency = |value: &Value| Dependency {
        name: text(&value["name"]),
        kind: match value["kind"].as_str() {
            None => Kind::Normal,
            Some("build") => Kind::Build,
            Some("dev") => Kind::Dev,
            Some(other) => panic!("cargo metadata has a new kind of dependency: {other}"),
        },
    };
    let package = |value: &Value| Package {
        name: text(&value["name"]),
        dependencies: value["dependencies"].as_array().into_iter().flatten().map(dependency).collect(),
    };
    metadata["packages"].as_array().into_iter().flatten().map(package).collect()
}

/// Returns every breach of the rules, one sentence each.
pub(crate) fn check(packages: &[Package], rules: &Rules<'_>) -> Vec<String> {
    let mut faults = check_table(packages, rules);
    for package in packages {
        for dependency in &package.dependencies {
            let fault = if packages.iter().any(|other| other.name == dependency.name) {
                check_edge(&package.name, dependency, rules)
            } else {
                check_owner(&package.name, dependency, rules)
            };
            faults.extend(fault);
        }
    }
    faults
}

/// Holds the table against the crates: each crate has one layer, and each name of the table is a crate.
fn check_table(packages: &[Package], rules: &Rules<'_>) -> Vec<String> {
    let listed: Vec<_> = rules.layers.iter().flat_map(|layer| layer.iter().copied()).collect();
    let mut faults = Vec::new();
    for package in packages {
        match listed.iter().filter(|name| **name == package.name).count() {
            0 => faults.push(format!("crate {} stands in no layer", package.name)),
            1 => {}
            _ => faults.push(format!("crate {} stands in several layers", package.name)),
        }
    }
    for name in listed {
        if !packages.iter().any(|package| package.name == name) {
            faults.push(format!("the layers name {name}, which is no crate"));
        }
    }
    faults.extend(
        rules
            .exceptions
            .iter()
            .filter(|exception| exception.reason.is_empty())
            .map(|exception| format!("the exception {} -> {} has no reason", exception.from, exception.to)),
    );
    faults
}

fn layer_of(name: &str, rules: &Rules<'_>) -> Option<usize> {
    rules.layers.iter().position(|layer| layer.contains(&name)).map(|index| index + 1)
}

fn check_edge(from: &str, dependency: &Dependency, rules: &Rules<'_>) -> Option<String> {
    let to = dependency.name.as_str();
    let forbidden = rules.forbidden.iter().find(|(a, b, _)| (*a, *b) == (from, to));
    if let Some((_, _, reason)) = forbidden.filter(|_| dependency.kind != Kind::Dev) {
        return Some(format!("{from} must not import {to}: {reason}"));
    }
    let (from_layer, to_layer) = (layer_of(from, rules)?, layer_of(to, rules)?);
    let excepted = |e: &Exception| e.from == from && e.to == to && e.kind == dependency.kind;
    if to_layer < from_layer || rules.exceptions.iter().any(excepted) {
        return None;
    }
    Some(format!(
        "{from} (layer {from_layer}) imports {to} (layer {to_layer}, {:?}): edges go strictly down",
        dependency.kind
    ))
}

fn check_owner(from: &str, dependency: &Dependency, rules: &Rules<'_>) -> Option<String> {
    if dependency.kind == Kind::Dev {
        return None;
    }
    let matches = |owner: &&Owner| match owner.dependency.strip_suffix('*') {
        Some(prefix) => dependency.name.starts_with(prefix),
        None => dependency.name == owner.dependency,
    };
    // The longest pattern decides, so that `tonic-prost*` is not read as another rule's `tonic*`.
    let owner = rules.owners.iter().filter(matches).max_by_key(|owner| owner.dependency.len())?;
    if owner.crates.contains(&from) || owner.roles && rules.roles.contains(&from) {
        return None;
    }
    Some(format!("{from} uses {}, which is owned by {:?}", dependency.name, owner.crates))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNERS: [Owner; 3] = [
        Owner { dependency: "raft*", crates: &["low"], roles: false },
        Owner { dependency: "http", crates: &[], roles: true },
        Owner { dependency: "raft-log", crates: &["top"], roles: false },
    ];
    const EXCEPTIONS: [Exception; 1] =
        [Exception { from: "mid", to: "top", kind: Kind::Dev, reason: "only in a test" }];

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependencies =
            dependencies.iter().map(|(name, kind)| Dependency { name: (*name).into(), kind: *kind });
        Package { name: name.into(), dependencies: dependencies.collect() }
    }

    /// Checks three crates low < mid, peer < top with the given edges from `from`.
    fn check_one(from: &str, edges: &[(&str, Kind)], expected: &[&str]) {
        let rules = Rules {
            layers: &[&["low"], &["mid", "peer"], &["top"]],
            exceptions: &EXCEPTIONS,
            forbidden: &[("top", "low", "it must not know")],
            owners: &OWNERS,
            roles: &["top"],
        };
        let edges_of = |name: &str| if name == from { edges } else { &[] };
        let packages: Vec<_> =
            ["low", "mid", "peer", "top"].iter().map(|name| package(name, edges_of(name))).collect();
        let faults = check(&packages, &rules);
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{part:?} in {fault:?}");
        }
    }

    #[test]
    fn edges_go_strictly_down() {
        check_one("mid", &[("low", Kind::Normal), ("low", Kind::Dev)], &[]);
        check_one("low", &[("mid", Kind::Normal)], &["low (layer 1) imports mid (layer 2"]);
        check_one("mid", &[("peer", Kind::Normal)], &["mid (layer 2) imports peer (layer 2"]);
        check_one("mid", &[("peer", Kind::Build)], &["imports peer (layer 2, Build)"]);
        check_one("low", &[("low", Kind::Dev)], &["low (layer 1) imports low"]);
    }

    #[test]
    fn an_exception_holds_for_its_kind_only() {
        check_one("mid", &[("top", Kind::Dev)], &[]);
        check_one("mid", &[("top", Kind::Normal)], &["imports top"]);
        check_one("peer", &[("top", Kind::Dev)], &["imports top"]);
    }

    #[test]
    fn a_forbidden_edge_is_named_with_its_reason() {
        check_one("top", &[("low", Kind::Normal), ("mid", Kind::Normal)], &["it must not know"]);
    }

    #[test]
    fn heavy_dependencies_have_owners() {
        check_one(
            "low",
            &[("raft", Kind::Normal), ("raft-core", Kind::Normal), ("other", Kind::Normal)],
            &[],
        );
        check_one("mid", &[("raft-core", Kind::Normal)], &["mid uses raft-core"]);
        check_one("mid", &[("raft", Kind::Build)], &["mid uses raft"]);
        check_one("mid", &[("raft", Kind::Dev)], &[]);
        check_one("top", &[("http", Kind::Normal), ("httparse", Kind::Normal)], &[]);
        check_one(
            "low",
            &[("http", Kind::Normal), ("raft-log", Kind::Normal)],
            &["uses http", "uses raft-log"],
        );
    }

    #[test]
    fn the_table_and_the_crates_are_the_same() {
        let exceptions = [Exception { from: "a", to: "b", kind: Kind::Dev, reason: "" }];
        let rules = Rules {
            layers: &[&["a", "b"], &["b", "gone"]],
            exceptions: &exceptions,
            forbidden: &[],
            owners: &[],
            roles: &[],
        };
        let faults = check(&[package("a", &[]), package("b", &[]), package("new", &[])], &rules);
        assert_eq!(
            faults,
            [
                "crate b stands in several layers",
                "crate new stands in no layer",
                "the layers name gone, which is no crate",
                "the exception a -> b has no reason",
            ]
        );
    }

    #[test]
    fn reads_what_cargo_prints() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "dependencies": [
            {"name": "x", "kind": null}, {"name": "y", "kind": "dev"}, {"name": "z", "kind": "build"}]}]});
        let packages = packages(&metadata);
        let kinds: Vec<_> = packages[0].dependencies.iter().map(|d| (d.name.as_str(), d.kind)).collect();
        assert_eq!(kinds, [("x", Kind::Normal), ("y", Kind::Dev), ("z", Kind::Build)]);
    }
}
