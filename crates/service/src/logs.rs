//! Logs on standard error, one line an event, as logfmt or JSON with Prometheus's keys (`time`, `level`, `source`, `msg`).
//!
//! An event carries its own fields and those of the spans around it, outermost first. Noisy dependencies are heard from
//! level WARN on, one that repeats itself from ERROR on.

mod line;

use std::io::Write as _;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::ServiceError;
use line::{Fields, Format};

/// Dependencies whose INFO says nothing to an operator.
const QUIET_TARGETS: [&str; 8] =
    ["h2", "hyper", "hyper_util", "tonic", "tower", "reqwest", "rustls", "object_store"];
/// Warns several times a second of each peer that is away; who leads and who is away is logged once by the roles.
const REPEATING_TARGET: &str = "openraft";

/// Sends this process's logs to standard error, and panics into the logs.
///
/// # Errors
/// When `level` is not one of debug, info, warn, error, or `format` not one of logfmt, json, or at a second call.
pub fn init(level: &str, format: &str) -> Result<(), ServiceError> {
    let filter = match level {
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        _ => return Err(ServiceError::LogLevel { level: level.to_owned() }),
    };
    let format = match format {
        "logfmt" => Format::Logfmt,
        "json" => Format::Json,
        _ => return Err(ServiceError::LogFormat { format: format.to_owned() }),
    };
    let quiet = QUIET_TARGETS.map(|target| (target, filter.min(LevelFilter::WARN)));
    let repeating = if filter == LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::ERROR };
    let targets =
        Targets::new().with_default(filter).with_targets(quiet).with_target(REPEATING_TARGET, repeating);
    let subscriber = Registry::default().with(LineLayer { format }.with_filter(targets));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| ServiceError::LogsTwice)?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            tracing::error!(location, panic = text, %backtrace, "panic");
        } else {
            tracing::error!(location, panic = text, "panic");
        }
    }));
    Ok(())
}

struct LineLayer {
    format: Format,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.extend(outer);
            }
        }
        let time = format!("{:.3}", jiff::Timestamp::now());
        let metadata = event.metadata();
        let line = self.format.line(&time, metadata.level().as_str(), metadata.target(), &fields);
        // There is nobody to tell when standard error is closed.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused_with_what_is_known() {
        let error = init("loud", "logfmt").unwrap_err();
        assert_eq!(error.to_string(), r#"unknown log level "loud": one of debug, info, warn, error"#);
        let error = init("info", "xml").unwrap_err();
        assert_eq!(error.to_string(), r#"unknown log format "xml": one of logfmt, json"#);
    }
}
