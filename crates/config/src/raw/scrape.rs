//! One entry of `scrape_configs`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::section;
use crate::check::Text;
use crate::labels::RawLabels;

section! {
    /// A scrape configuration.
    Scrape {
        read, with the limits of a scrape {
            job_name: Text,
            scrape_interval: Text,
            scrape_timeout: Text,
            scrape_protocols: Vec<Text>,
            fallback_scrape_protocol: Text,
            metrics_path: Text,
            honor_labels: bool,
            honor_timestamps: bool,
            scheme: Text,
            params: BTreeMap<String, Option<Vec<String>>>,
            enable_compression: bool,
            basic_auth: BasicAuth,
            authorization: Authorization,
            bearer_token: Text,
            bearer_token_file: Text,
            follow_redirects: bool,
            static_configs: Vec<StaticGroup>,
            relabel_configs: Vec<Option<Relabel>>,
            metric_relabel_configs: Vec<Option<Relabel>>,
        }
        unsupported, with all discoveries {
            track_timestamps_staleness, scrape_failure_log_file, oauth2, tls_config, proxy_url,
            proxy_from_environment, proxy_connect_header, http_headers,
            scrape_native_histograms, convert_classic_histograms_to_nhcb,
        }
        ignored {
            always_scrape_classic_histograms, native_histogram_bucket_limit, native_histogram_min_bucket_factor,
            enable_http2, no_proxy,
        }
    }
}

section! {
    /// `basic_auth`.
    BasicAuth {
        read { username: Text, username_file: Text, password: Text, password_file: Text, }
        unsupported { username_ref, password_ref, }
        ignored { }
    }
}

section! {
    /// `authorization`.
    Authorization {
        read { r#type: Text, credentials: Text, credentials_file: Text, }
        unsupported { credentials_ref, }
        ignored { }
    }
}

/// One group of `static_configs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StaticGroup {
    pub(crate) targets: Option<Vec<Text>>,
    pub(crate) labels: Option<RawLabels>,
}

/// One relabeling rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Relabel {
    pub(crate) source_labels: Option<Vec<Text>>,
    pub(crate) separator: Option<Text>,
    pub(crate) regex: Option<Text>,
    pub(crate) modulus: Option<u64>,
    pub(crate) target_label: Option<Text>,
    pub(crate) replacement: Option<Text>,
    pub(crate) action: Option<Text>,
}
