//! Who this process is and where it is reached.

use std::net::SocketAddr;

use cluster::Role;
use config::norn::NodeConfig;

use crate::cli::RoleFlags;
use crate::settings::STANDALONE;

/// Where HTTP is served when nobody says; Prometheus's port.
const HTTP_ADDRESS: &str = "0.0.0.0:9090";
/// Where gRPC is served when nobody says.
const GRPC_ADDRESS: &str = "0.0.0.0:9095";

/// An address to listen on, with the flag that changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: String,
    pub(crate) setting: &'static str,
}

/// This process among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) http: Listen,
    /// `None` when all calls stay within the process.
    pub(crate) grpc: Option<Listen>,
    /// The host under which others reach this process; `None` for the one it listens on.
    advertised_host: Option<String>,
}

impl Node {
    /// Makes the one process of a standalone cluster.
    pub(crate) fn standalone(http_address: &str, grpc_address: Option<&str>) -> Self {
        Self {
            name: STANDALONE.to_owned(),
            zone: String::new(),
            http: Listen { address: http_address.to_owned(), setting: "--web.listen-address" },
            grpc: grpc_address
                .map(|address| Listen { address: address.to_owned(), setting: "--grpc.listen-address" }),
            advertised_host: None,
        }
    }

    /// Makes a process of one role.
    ///
    /// # Errors
    /// The key that is missing, and what to say there.
    pub(crate) fn of_role(
        role: Role,
        flags: &RoleFlags,
        config: &NodeConfig,
    ) -> Result<Self, (&'static str, &'static str)> {
        let name = config.name.clone();
        let name =
            name.ok_or(("norn.node.name", "give this process a name of its own among those of its role"))?;
        let pick = |flag: &Option<String>, key: &Option<String>, default: &str| {
            flag.clone().or_else(|| key.clone()).unwrap_or_else(|| default.to_owned())
        };
        let http = pick(&flags.listen_address, &config.http_listen_address, HTTP_ADDRESS);
        let grpc = pick(&flags.grpc_listen_address, &config.grpc_listen_address, GRPC_ADDRESS);
        let called = !matches!(role, Role::Compactor | Role::Ruler);
        if called && config.advertise_address.is_none() && is_unspecified(&grpc) {
            return Err((
                "norn.node.advertise_address",
                "say under which host the others reach this process",
            ));
        }
        let host =
            |address: &String| address.rsplit_once(':').map_or(address.clone(), |(host, _)| host.to_owned());
        Ok(Self {
            name,
            zone: config.zone.clone().unwrap_or_default(),
            http: Listen { address: http, setting: "--web.listen-address" },
            grpc: called.then_some(Listen { address: grpc, setting: "--grpc.listen-address" }),
            advertised_host: config.advertise_address.as_ref().map(host),
        })
    }

    /// Returns the address under which others reach a socket of this process.
    pub(crate) fn advertised(&self, bound: SocketAddr) -> String {
        match &self.advertised_host {
            Some(host) => format!("{host}:{}", bound.port()),
            None => crate::listen::reachable(bound),
        }
    }
}

fn is_unspecified(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    matches!(host, "" | "0.0.0.0" | "[::]")
}
