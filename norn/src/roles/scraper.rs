//! The scraper of this process.

use ::scraper::{Scraper, ScraperConfig};
use cluster::Role;

use super::{Builder, Part};
use crate::fault::Fault;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let session = builder.session(Role::Scraper, None);
    let writer = builder.writer(&session);
    let config = ScraperConfig::new(builder.settings.config.scrape_configs.clone());
    let scraper = Scraper::build(config, builder.context, session, writer).await;
    let scraper = scraper.map_err(|error| Fault::of("scraper", &error))?;
    Ok(Part {
        http: scraper.http_routes(),
        grpc: scraper.grpc_routes(),
        role: Box::new(scraper),
        ingester: None,
    })
}
