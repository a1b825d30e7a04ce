//! The gateway of this process.

use ::gateway::{Gateway, GatewayConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let settings = builder.settings;
    let session = builder.session(Role::Gateway, None);
    let default = GatewayConfig::default();
    let config = GatewayConfig {
        cache_dir: Some(settings.cache_dir.clone()),
        cache_size_bytes: settings.cache_size_bytes.unwrap_or(default.cache_size_bytes),
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
