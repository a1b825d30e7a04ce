//! The compactor of this process.

use ::compactor::plan::RetentionRules;
use ::compactor::{Compactor, CompactorConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;
use crate::settings::RetentionSettings;

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
    let config =
        CompactorConfig::new(builder.objects(), retention, builder.settings.data_dir.join("compactor"));
    let compactor = Compactor::build(config, builder.context, session).await;
    let compactor = compactor.map_err(|error| Fault::of("compactor", &error))?;
    Ok(Part {
        http: compactor.http_routes(),
        grpc: compactor.grpc_routes(),
        role: Box::new(compactor),
        ingester: None,
    })
}
