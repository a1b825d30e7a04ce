//! The compactor of this process.

use std::time::Duration;

use ::compactor::{Compactor, CompactorConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let session = builder.session(Role::Compactor, None);
    let retention = Duration::from_millis(builder.settings.retention_ms);
    let config =
        CompactorConfig::new(builder.objects(), Some(retention), builder.settings.data_dir.join("compactor"));
    let compactor = Compactor::build(config, builder.context, session).await;
    let compactor = compactor.map_err(|error| Fault::of("compactor", &error))?;
    Ok(Part {
        http: compactor.http_routes(),
        grpc: compactor.grpc_routes(),
        role: Box::new(compactor),
        ingester: None,
    })
}
