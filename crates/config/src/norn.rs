//! Norn's own section: the node, its cluster, its disks. Everything is optional; the roles say what they cannot do without.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use model::labels::quote;

use crate::check::{Faults, Place, Text};
use crate::objstore::{self, ObjstoreSource};
use crate::raw;
use crate::units::parse_size_bytes;

/// The most shards a cluster may have; more small Raft groups cost more than they spread.
pub const SHARDS_MAX: u32 = 256;

/// The most gateways that may serve the same blocks.
pub const GATEWAY_REPLICAS_MAX: u32 = 16;
/// The shortest block; a shorter one would hold hardly more than its own index.
const BLOCK_DURATION_MS_MIN: u64 = 1000;

/// The section, valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NornConfig {
    /// Who belongs together.
    pub cluster: ClusterConfig,
    /// This process.
    pub node: NodeConfig,
    /// Its disk.
    pub storage: StorageConfig,
    /// The object store, given here or in a file of its own.
    pub objstore: Option<ObjstoreSource>,
    /// Gateways.
    pub gateway: GatewayConfig,
}

/// Who belongs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: Option<String>,
    /// How many shards a new cluster gets, from 1 to [`SHARDS_MAX`].
    pub shards: Option<u32>,
    /// The ingesters that found the cluster, names and addresses unique.
    pub ingesters: Vec<IngesterConfig>,
}

/// One founding ingester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngesterConfig {
    /// Its node's name.
    pub name: String,
    /// Its gRPC address, `host:port`.
    pub address: String,
}

/// This process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeConfig {
    /// Unique among the live members of its role.
    pub name: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
    /// Where gRPC is served, `host:port`; an empty host means all addresses.
    pub grpc_listen_address: Option<String>,
    /// Where HTTP is served, `host:port`; an empty host means all addresses.
    pub http_listen_address: Option<String>,
    /// The host under which others reach this node, with or without the gRPC port.
    pub advertise_address: Option<String>,
}

/// This node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageConfig {
    /// The data directory.
    pub path: Option<PathBuf>,
    /// The length of a block's window.
    pub block_duration_ms: Option<u64>,
    /// How much older than the newest sample a sample may be.
    pub out_of_order_window_ms: Option<u64>,
    /// How long samples are kept.
    pub retention_ms: Option<u64>,
    /// How long samples reduced to five minutes are kept; 0 for ever.
    pub retention_5m_ms: Option<u64>,
    /// How long samples reduced to an hour are kept; 0 for ever.
    pub retention_1h_ms: Option<u64>,
    /// How old samples are when they are reduced to five minutes, 0 for never.
    pub downsample_5m_after_ms: Option<u64>,
    /// How old samples of five minutes are when they are reduced to an hour, 0 for never.
    pub downsample_1h_after_ms: Option<u64>,
    /// How many bytes all blocks take together at the most.
    pub retention_size_bytes: Option<u64>,
}

/// Gateways: the cache of one, and how many serve the same blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The directory of the cache.
    pub cache_path: Option<PathBuf>,
    /// How large the directory may grow.
    pub cache_size_bytes: Option<u64>,
    /// How much memory pages of blocks may take.
    pub cache_memory_bytes: Option<u64>,
    /// How much memory the indexes of opened blocks may take.
    pub index_memory_bytes: Option<u64>,
    /// How many gateways serve the blocks of a shard, from 1 to [`GATEWAY_REPLICAS_MAX`]. Gateways, queriers and rulers
    /// should be told the same.
    pub replication_factor: Option<u32>,
}

pub(crate) fn build(raw: raw::Norn, place: &Place, base_dir: &Path, faults: &mut Faults) -> NornConfig {
    NornConfig {
        cluster: cluster(raw.cluster.unwrap_or_default(), &place.key("cluster"), faults),
        node: node(raw.node.unwrap_or_default(), &place.key("node"), faults),
        storage: storage(raw.storage.unwrap_or_default(), &place.key("storage"), base_dir, faults),
        objstore: objstore::build(raw.objstore, raw.objstore_file, place, base_dir, faults),
        gateway: gateway(raw.gateway.unwrap_or_default(), &place.key("gateway"), base_dir, faults),
    }
}

fn cluster(raw: raw::Cluster, place: &Place, faults: &mut Faults) -> ClusterConfig {
    if let Some(shards) = raw.shards.as_ref().filter(|shards| !(1..=SHARDS_MAX).contains(&shards.value)) {
        let message = format!("{} shards, expected 1 to {SHARDS_MAX}", shards.value);
        faults.at(&place.key("shards"), shards, message);
    }
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    let mut ingesters = Vec::new();
    for (index, ingester) in raw.ingesters.into_iter().flatten().enumerate() {
        let place = place.key("ingesters").index(index);
        if !names.insert(ingester.name.value.clone()) {
            faults.at(
                &place.key("name"),
                &ingester.name,
                format!("{} is given twice", quote(&ingester.name.value)),
            );
        }
        let address = check_address(Some(ingester.address), &place.key("address"), Host::Required, faults);
        let address = address.unwrap_or_default();
        if !addresses.insert(address.clone()) {
            faults.add(&place.key("address"), format!("{} is given twice", quote(&address)));
        }
        ingesters.push(IngesterConfig { name: ingester.name.value, address });
    }
    ClusterConfig {
        name: not_empty(raw.name, &place.key("name"), faults),
        shards: raw.shards.map(|shards| shards.value),
        ingesters,
    }
}

fn node(raw: raw::Node, place: &Place, faults: &mut Faults) -> NodeConfig {
    let mut listen = |key: &str, value| check_address(value, &place.key(key), Host::Optional, faults);
    let grpc_listen_address = listen("grpc_listen_address", raw.grpc_listen_address);
    let http_listen_address = listen("http_listen_address", raw.http_listen_address);
    NodeConfig {
        name: not_empty(raw.name, &place.key("name"), faults),
        zone: raw.zone.map(|zone| zone.value),
        grpc_listen_address,
        http_listen_address,
        advertise_address: not_empty(raw.advertise_address, &place.key("advertise_address"), faults),
    }
}

fn storage(raw: raw::NornStorage, place: &Place, base_dir: &Path, faults: &mut Faults) -> StorageConfig {
    let block_place = place.key("block_duration");
    let block_duration_ms = faults.duration(&block_place, raw.block_duration.as_ref());
    if let (Some(ms), Some(text)) = (block_duration_ms, &raw.block_duration)
        && ms < BLOCK_DURATION_MS_MIN
    {
        faults.at(&block_place, text, format!("{} is too short, expected at least 1s", text.value));
    }
    let window_place = place.key("out_of_order_time_window");
    StorageConfig {
        path: not_empty(raw.path, &place.key("path"), faults).map(|path| base_dir.join(path)),
        block_duration_ms,
        out_of_order_window_ms: faults.duration(&window_place, raw.out_of_order_time_window.as_ref()),
        retention_ms: faults.duration(&place.key("retention_time"), raw.retention_time.as_ref()),
        retention_5m_ms: faults.duration(&place.key("retention_5m"), raw.retention_5m.as_ref()),
        retention_1h_ms: faults.duration(&place.key("retention_1h"), raw.retention_1h.as_ref()),
        downsample_5m_after_ms: faults
            .duration(&place.key("downsample_5m_after"), raw.downsample_5m_after.as_ref()),
        downsample_1h_after_ms: faults
            .duration(&place.key("downsample_1h_after"), raw.downsample_1h_after.as_ref()),
        retention_size_bytes: faults.convert(
            &place.key("retention_size"),
            raw.retention_size.as_ref(),
            parse_size_bytes,
        ),
    }
}

fn gateway(raw: raw::Gateway, place: &Place, base_dir: &Path, faults: &mut Faults) -> GatewayConfig {
    let mut bytes = |key: &str, text: Option<&Text>| faults.convert(&place.key(key), text, parse_size_bytes);
    let cache_size_bytes = bytes("cache_size", raw.cache_size.as_ref());
    let cache_memory_bytes = bytes("cache_memory", raw.cache_memory.as_ref());
    let index_memory_bytes = bytes("index_memory", raw.index_memory.as_ref());
    let replicas = raw.replication_factor.as_ref();
    if let Some(given) = replicas.filter(|given| !(1..=GATEWAY_REPLICAS_MAX).contains(&given.value)) {
        let message = format!("{} gateways, expected 1 to {GATEWAY_REPLICAS_MAX}", given.value);
        faults.at(&place.key("replication_factor"), given, message);
    }
    let path = not_empty(raw.cache_path, &place.key("cache_path"), faults);
    GatewayConfig {
        cache_path: path.map(|path| base_dir.join(path)),
        cache_size_bytes,
        cache_memory_bytes,
        index_memory_bytes,
        replication_factor: raw.replication_factor.map(|given| given.value),
    }
}

pub(crate) fn not_empty(value: Option<Text>, place: &Place, faults: &mut Faults) -> Option<String> {
    let value = value?;
    if value.value.is_empty() {
        faults.at(place, &value, "must not be empty");
    }
    Some(value.value)
}

/// Whether an address must name a host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    Required,
    Optional,
}

fn check_address(value: Option<Text>, place: &Place, host: Host, faults: &mut Faults) -> Option<String> {
    let value = value?;
    let parts = value.value.rsplit_once(':');
    let valid = parts.is_some_and(|(name, port)| {
        let bracketed = name.starts_with('[') && name.ends_with(']');
        port.parse::<u16>().is_ok()
            && (host == Host::Optional || !name.is_empty())
            && (bracketed || !name.contains([':', '/', '[', ']']))
    });
    if !valid {
        faults.at(place, &value, format!("{} is not an address, expected host:port", quote(&value.value)));
    }
    Some(value.value)
}
