//! Members: the processes that take part in the cluster.

use std::fmt;
use std::str::FromStr;

use model::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

/// What a process does for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Scrapes targets.
    Scraper,
    /// Hosts replicas.
    Ingester,
    /// Serves blocks.
    Gateway,
    /// Answers queries.
    Querier,
    /// Merges, retains, collects garbage.
    Compactor,
    /// Evaluates rules.
    Ruler,
}

impl Role {
    /// All roles, in the order in which a local cluster starts them.
    pub const ALL: [Self; 6] =
        [Self::Ingester, Self::Gateway, Self::Querier, Self::Scraper, Self::Compactor, Self::Ruler];

    /// Returns the role's name, as in `norn <role>`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scraper => "scraper",
            Self::Ingester => "ingester",
            Self::Gateway => "gateway",
            Self::Querier => "querier",
            Self::Compactor => "compactor",
            Self::Ruler => "ruler",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| {
            format!(
                "{text:?} is not a role: expected scraper, ingester, gateway, querier, compactor or ruler"
            )
        })
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, for ever.
    pub node: NodeId,
    /// The epoch of its present membership; writes made under an older one are refused.
    pub epoch: Epoch,
    /// Unique within its role.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where it runs; empty when nobody said.
    pub zone: String,
    /// `host:port` of its gRPC services.
    pub grpc_address: String,
    /// `host:port` of its HTTP server.
    pub http_address: String,
    /// The id written to its data directory, in hexadecimal; empty for roles without a disk and before the first join.
    pub disk_id: String,
    /// Whether its lease stands.
    pub live: bool,
}
