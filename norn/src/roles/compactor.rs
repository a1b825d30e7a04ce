//! The compactor of this process.

use ::compactor::plan::{DownsampleRules, RetentionRules};
use ::compactor::{Compactor, CompactorConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;
use crate::settings::{DownsamplingSettings, RetentionSettings};

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let session = builder.session(Role::Compactor, None);
    let RetentionSettings { time_ms, five_minutes_ms, hour_ms, size_bytes } = builder.settings.retention;
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let retention = RetentionRules {
        raw_ms: Some(signed(time_ms)),
        five_minutes_ms: five_minutes_ms.map(signed),
        hour_ms: hour_ms.map(signed),
        size_bytes,
    };
    let DownsamplingSettings { five_minutes_after_ms, hour_after_ms } = builder.settings.downsampling;
    let downsampling = DownsampleRules {
        five_minutes_after_ms: five_minutes_after_ms.map(signed),
        hour_after_ms: hour_after_ms.map(signed),
    };
    let spool_dir = builder.settings.data_dir.join("compactor");
    let config =
        CompactorConfig { downsampling, ..CompactorConfig::new(builder.objects(), retention, spool_dir) };
    let compactor = Compactor::build(config, builder.context, session).await;
    let compactor = compactor.map_err(|error| Fault::of("compactor", &error))?;
    Ok(Part {
        http: compactor.http_routes(),
        grpc: compactor.grpc_routes(),
        role: Box::new(compactor),
        ingester: None,
    })
}
