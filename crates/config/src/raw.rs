//! The file as serde reads it: every key of Prometheus 3.14, nothing checked beyond its type.
//!
//! A section lists three sorts of keys: those that are read, those that are not supported yet, and those without effect.
//! `#[serde(flatten)]` cannot be combined with refusing unknown keys, so shared keys are repeated by macro.

mod alerting;
mod norn;
mod opaque;
mod rules;
mod scrape;
mod storage;

pub(crate) use alerting::Alerting;
pub(crate) use norn::{Cluster, Gateway, Node, Norn, NornStorage, Objstore};
pub(crate) use opaque::Opaque;
pub(crate) use rules::{Group, Rule, RuleFile};
pub(crate) use scrape::{Authorization, BasicAuth, Relabel, Scrape, StaticGroup};
pub(crate) use storage::Storage;

use crate::check::Text;
use crate::labels::RawLabels;

/// Defines a section: a struct that refuses unknown keys, and `report`, which notes the keys it does not support.
macro_rules! section {
    (
        $(#[$doc:meta])* $name:ident {
            read { $($field:ident: $type:ty,)* }
            unsupported { $($unsupported:ident,)* }
            ignored { $($ignored:ident,)* }
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$type>,)*
            $($unsupported: Option<serde_saphyr::Spanned<crate::raw::Opaque>>,)*
            $($ignored: Option<serde_saphyr::Spanned<crate::raw::Opaque>>,)*
        }

        impl $name {
            /// Notes the given keys that are not supported yet, and those without effect.
            pub(crate) fn report(&self, place: &crate::check::Place, faults: &mut crate::check::Faults) {
                $(faults.unsupported(place, stringify!($unsupported), self.$unsupported.as_ref());)*
                $(faults.ignored(place, stringify!($ignored), self.$ignored.as_ref());)*
                let _ = (place, faults);
            }
        }
    };
}
pub(crate) use section;

section! {
    /// The whole file.
    File {
        read {
            global: Global,
            rule_files: Vec<Text>,
            scrape_configs: Vec<Scrape>,
            alerting: Alerting,
            storage: Storage,
            norn: Norn,
        }
        unsupported { scrape_config_files, remote_write, remote_read, otlp, tracing, }
        ignored { runtime, }
    }
}

section! {
    /// `global`.
    Global {
        read {
            scrape_interval: Text,
            scrape_timeout: Text,
            scrape_protocols: Vec<Text>,
            evaluation_interval: Text,
            rule_query_offset: Text,
            external_labels: RawLabels,
            body_size_limit: Text,
            sample_limit: u64,
            label_limit: u64,
            label_name_length_limit: u64,
            label_value_length_limit: u64,
            target_limit: u64,
            keep_dropped_targets: u64,
            metric_name_validation_scheme: Text,
            metric_name_escaping_scheme: Text,
            extra_scrape_metrics: bool,
        }
        unsupported {
            query_log_file, scrape_failure_log_file, scrape_native_histograms, convert_classic_histograms_to_nhcb,
        }
        ignored { always_scrape_classic_histograms, }
    }
}
