//! The ruler of this process.

use std::time::Duration;

use ::ruler::{Ruler, RulerConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let settings = builder.settings;
    let session = builder.session(Role::Ruler, None);
    let writer = builder.writer(&session);
    let global = &settings.config.global;
    let config = RulerConfig {
        rule_files: settings.config.rule_files.clone(),
        evaluation_interval: Duration::from_millis(global.evaluation_interval_ms),
        query_offset: Duration::from_millis(global.rule_query_offset_ms),
        query_timeout: settings.query.timeout,
    };
    let ruler = Ruler::build(config, builder.context, session, writer).await;
    let ruler = ruler.map_err(|error| Fault::usage(format!("rules: {error}")))?;
    Ok(Part { http: ruler.http_routes(), grpc: ruler.grpc_routes(), role: Box::new(ruler), ingester: None })
}
