//! The gateway of this process.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ::gateway::{Gateway, GatewayConfig};
use block::ObjectStoreConfig;
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let settings = builder.settings;
    let session = builder.session(Role::Gateway, None);
    let default = GatewayConfig::default();
    let (given, cache_dir) = (&settings.gateway, settings.cache_dir.as_path());
    let is_second_copy = match &settings.objects {
        Some(ObjectStoreConfig::Local { dir }) => are_on_one_disk(dir, cache_dir),
        _ => false,
    };
    let config = GatewayConfig {
        cache_dir: (!is_second_copy).then(|| cache_dir.to_owned()),
        cache_size_bytes: given.cache_size_bytes.unwrap_or(default.cache_size_bytes),
        // The system's own cache holds what is read of local files.
        cache_memory_bytes: given.cache_memory_bytes.unwrap_or(if is_second_copy {
            0
        } else {
            default.cache_memory_bytes
        }),
        open_blocks_bytes_max: given.index_memory_bytes.unwrap_or(default.open_blocks_bytes_max),
        replicas: given.replication_factor.map_or(default.replicas, |given| given as usize),
        ..default
    };
    let gateway =
        Gateway::build(config, builder.context, session, builder.objects(), builder.engine.clone()).await;
    let gateway = gateway.map_err(|error| Fault::of("gateway", &error))?;
    Ok(Part {
        http: gateway.http_routes(),
        grpc: Some(gateway.grpc_routes()),
        role: Box::new(gateway),
        ingester: None,
    })
}

/// Tells whether two directories lie on one file system, where a cache of one in the other would only be a second copy.
/// One that does not exist is looked for above.
fn are_on_one_disk(one: &Path, other: &Path) -> bool {
    let disk = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        path.ancestors().find_map(|path| path.metadata().ok()).map(|facts| facts.dev())
    };
    disk(one).is_some_and(|one| Some(one) == disk(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_one_disk_are_told_from_others() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(are_on_one_disk(dir.path(), &dir.path().join("not/made/yet")));
        assert!(!are_on_one_disk(dir.path(), Path::new("/proc/self")));
    }
}
