//! Real scrapers against real HTTP targets and a fake ingester, in one process.

mod ownership;
mod scraping;
mod support;
