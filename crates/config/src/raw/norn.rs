//! Norn's own section.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::check::Text;

/// `norn`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Norn {
    pub(crate) cluster: Option<Cluster>,
    pub(crate) node: Option<Node>,
    pub(crate) storage: Option<NornStorage>,
    pub(crate) objstore: Option<Objstore>,
    pub(crate) objstore_file: Option<Text>,
    pub(crate) gateway: Option<Gateway>,
}

/// `norn.cluster`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    pub(crate) name: Option<Text>,
    pub(crate) shards: Option<Spanned<u32>>,
    pub(crate) ingesters: Option<Vec<Ingester>>,
}

/// One of `norn.cluster.ingesters`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ingester {
    pub(crate) name: Text,
    pub(crate) address: Text,
}

/// `norn.node`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) name: Option<Text>,
    pub(crate) zone: Option<Text>,
    pub(crate) grpc_listen_address: Option<Text>,
    pub(crate) http_listen_address: Option<Text>,
    pub(crate) advertise_address: Option<Text>,
}

/// `norn.storage`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NornStorage {
    pub(crate) path: Option<Text>,
    pub(crate) block_duration: Option<Text>,
    pub(crate) out_of_order_time_window: Option<Text>,
    pub(crate) retention_time: Option<Text>,
    pub(crate) retention_5m: Option<Text>,
    pub(crate) retention_1h: Option<Text>,
    pub(crate) downsample_5m_after: Option<Text>,
    pub(crate) downsample_1h_after: Option<Text>,
    pub(crate) retention_size: Option<Text>,
}

/// `norn.objstore`, as Thanos writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Objstore {
    pub(crate) r#type: Text,
    #[serde(default)]
    pub(crate) config: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub(crate) prefix: Option<String>,
}

/// `norn.gateway`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gateway {
    pub(crate) cache_path: Option<Text>,
    pub(crate) cache_size: Option<Text>,
    pub(crate) cache_memory: Option<Text>,
    pub(crate) index_memory: Option<Text>,
    pub(crate) replication_factor: Option<Spanned<u32>>,
}
