//! The file as serde reads it: every key of Prometheus 3.14, nothing checked beyond its type.
//!
//! A section lists three sorts of keys: those that are read, those that are not supported yet, and those without effect.
//! `#[serde(flatten)]` cannot be combined with refusing unknown keys, so what sections share is
//! added by the macro that defines them.

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
///
/// `read, with the limits of a scrape` and `unsupported, with all discoveries` add the keys that several sections have.
macro_rules! section {
    (
        $(#[$doc:meta])* $name:ident {
            read, with the limits of a scrape { $($read:tt)* }
            $($rest:tt)*
        }
    ) => {
        crate::raw::section! {
            $(#[$doc])* $name {
                read {
                    $($read)*
                    body_size_limit: crate::check::Text,
                    sample_limit: u64,
                    label_limit: u64,
                    label_name_length_limit: u64,
                    label_value_length_limit: u64,
                    target_limit: u64,
                    keep_dropped_targets: u64,
                    metric_name_validation_scheme: crate::check::Text,
                    metric_name_escaping_scheme: crate::check::Text,
                    extra_scrape_metrics: bool,
                }
                $($rest)*
            }
        }
    };
    (
        $(#[$doc:meta])* $name:ident {
            read { $($read:tt)* }
            unsupported, with all discoveries { $($unsupported:tt)* }
            $($rest:tt)*
        }
    ) => {
        crate::raw::section! {
            $(#[$doc])* $name {
                read { $($read)* }
                unsupported {
                    $($unsupported)*
                    aws_sd_configs, azure_sd_configs, consul_sd_configs, digitalocean_sd_configs, docker_sd_configs,
                    dockerswarm_sd_configs, dns_sd_configs, ec2_sd_configs, eureka_sd_configs, file_sd_configs,
                    gce_sd_configs, hetzner_sd_configs, http_sd_configs, ionos_sd_configs, kubernetes_sd_configs,
                    kuma_sd_configs, lightsail_sd_configs, linode_sd_configs, marathon_sd_configs, nerve_sd_configs,
                    nomad_sd_configs, oci_sd_configs, openstack_sd_configs, outscale_sd_configs, ovhcloud_sd_configs,
                    puppetdb_sd_configs, scaleway_sd_configs, serverset_sd_configs, stackit_sd_configs,
                    triton_sd_configs, uyuni_sd_configs, vultr_sd_configs,
                }
                $($rest)*
            }
        }
    };
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
        read, with the limits of a scrape {
            scrape_interval: Text,
            scrape_timeout: Text,
            scrape_protocols: Vec<Text>,
            evaluation_interval: Text,
            rule_query_offset: Text,
            external_labels: RawLabels,
        }
        unsupported {
            query_log_file, scrape_failure_log_file, scrape_native_histograms, convert_classic_histograms_to_nhcb,
        }
        ignored { always_scrape_classic_histograms, }
    }
}
