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
        unsupported {
            azure_sd_configs, aws_sd_configs, consul_sd_configs, digitalocean_sd_configs, docker_sd_configs,
            dockerswarm_sd_configs, dns_sd_configs, ec2_sd_configs, eureka_sd_configs, file_sd_configs,
            gce_sd_configs, hetzner_sd_configs, http_sd_configs, ionos_sd_configs, kubernetes_sd_configs,
            kuma_sd_configs, lightsail_sd_configs, linode_sd_configs, marathon_sd_configs, nerve_sd_configs,
            nomad_sd_configs, oci_sd_configs, openstack_sd_configs, outscale_sd_configs, ovhcloud_sd_configs,
            puppetdb_sd_configs, scaleway_sd_configs, serverset_sd_configs, stackit_sd_configs,
            triton_sd_configs, uyuni_sd_configs, vultr_sd_configs,
        }
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
