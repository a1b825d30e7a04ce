//! The ingester of this process.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use ::ingester::{DataDir, Ingester, IngesterConfig};
use cluster::{ClusterSettings, Role};

use super::{Builder, Part};
use crate::fault::Fault;
use crate::settings::Mode;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let settings = builder.settings;
    let directory = match settings.mode {
        Mode::Standalone => settings.data_dir.join("ingester"),
        Mode::Role(_) => settings.data_dir.clone(),
    };
    let data = DataDir::open(&directory).map_err(Fault::usage)?;
    let session = builder.session(Role::Ingester, Some(data.disk_id()));
    let writer = builder.writer(&session);
    let uuid = random_uuid().map_err(|error| Fault::failed(format!("no random bytes: {error}")))?;
    let config = IngesterConfig {
        name: settings.node.name.clone(),
        first_ingesters: settings.cluster.first_ingesters.clone(),
        settings: ClusterSettings {
            name: settings.cluster.name.clone(),
            uuid,
            external_labels: settings.config.global.external_labels.clone(),
            block_duration_ms: settings.cluster.block_duration_ms as i64,
            out_of_order_window_ms: settings.cluster.out_of_order_window_ms as i64,
            shards: settings.cluster.shards,
            replicas: settings.cluster.replicas,
            exemplars_max: settings.cluster.exemplars_max,
        },
        objects: builder.objects(),
        lease: IngesterConfig::LEASE,
        series_max: IngesterConfig::SERIES_MAX,
        future_ms_max: IngesterConfig::FUTURE_MS_MAX,
        publish_grace: IngesterConfig::PUBLISH_GRACE,
        engine: builder.engine.clone(),
    };
    let ingester = Ingester::build(config, data, builder.context, session, writer).await;
    let ingester = Arc::new(ingester.map_err(|error| Fault::of("ingester", &error))?);
    Ok(Part {
        http: ingester.http_routes(),
        grpc: Some(ingester.grpc_routes()),
        role: Box::new(ingester.clone()),
        ingester: Some(ingester),
    })
}

/// Returns the identity that the cluster gets if it is this node that founds it.
fn random_uuid() -> io::Result<String> {
    let mut id = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}
