//! `alerting`: accepted while it names no Alertmanager, as in the file that comes with Prometheus.

use super::{StaticGroup, section};
use crate::check::{Faults, Place};

section! {
    /// The section.
    Alerting {
        read { alertmanagers: Vec<Alertmanager>, }
        unsupported { }
        ignored { alert_relabel_configs, }
    }
}

section! {
    /// One group of Alertmanagers.
    Alertmanager {
        read { static_configs: Vec<StaticGroup>, }
        unsupported, with all discoveries { }
        ignored {
            timeout, api_version, path_prefix, scheme, sigv4, relabel_configs, alert_relabel_configs, basic_auth,
            authorization, bearer_token, bearer_token_file, oauth2, tls_config, follow_redirects, enable_http2,
            proxy_url, no_proxy, proxy_from_environment, proxy_connect_header, http_headers,
        }
    }
}

impl Alerting {
    /// Refuses the section when it names an Alertmanager: alerts that are never sent must not look configured.
    pub(crate) fn check(&self, place: &Place, faults: &mut Faults) {
        self.report(place, faults);
        for (index, group) in self.alertmanagers.iter().flatten().enumerate() {
            let place = place.key("alertmanagers").index(index);
            group.report(&place, faults);
            let targets =
                group.static_configs.iter().flatten().flat_map(|group| group.targets.iter().flatten());
            for target in targets {
                let message =
                    format!("alerting is not supported yet, so {:?} would get no alerts", target.value);
                faults.at(&place.key("static_configs"), target, message);
            }
        }
    }
}
