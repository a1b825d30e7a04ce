//! Where blocks are, as flags say: an object store, a running cluster's catalogue, or both.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use block::{ObjectStoreConfig, ObjectStoreReader};
use cluster::{BlockState, ControlState};
use futures::TryStreamExt;
use model::{BlockId, BlockMeta};
use object_store::{ObjectMeta, ObjectStore};
use proto::connect::Connector;
use proto::control::WatchRequest;
use proto::control::control_client::ControlClient;
use proto::control::watch_event::Event;

use super::Stop;
use crate::cli::PlaceFlags;
use crate::fault::Fault;

/// How long a cluster may take to hand over its catalogue.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(10);
/// What all keys of blocks begin with.
const PREFIX: &str = "b";

/// What was opened.
pub(super) struct Place {
    objects: Option<Arc<dyn ObjectStore>>,
    catalogue: Option<ControlState>,
}

/// A block that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: BlockId,
    /// Absent when the bucket alone is known and the block cannot tell.
    pub(super) meta: Option<BlockMeta>,
    /// `active`, `tombstoned`, `set aside: ...` as the catalogue says; `stored`, `incomplete: ...` or `damaged: ...` as the
    /// bucket shows.
    pub(super) state: String,
}

/// The sizes of a block's two objects, as far as they are there.
type Sizes = [Option<u64>; 2];

impl Place {
    /// Opens what the flags name.
    ///
    /// # Errors
    /// One line that says which flag to give or correct.
    pub(super) async fn open(flags: &PlaceFlags) -> Result<Self, Stop> {
        let config = match (&flags.objstore_dir, &flags.objstore_file) {
            (Some(dir), _) if dir.is_dir() => Some(ObjectStoreConfig::Local { dir: dir.clone() }),
            (Some(dir), _) => {
                return Err(Fault::usage(format!("--objstore.dir {} is no directory", dir.display())).into());
            }
            (None, Some(file)) => Some(config_of(file)?),
            (None, None) => None,
        };
        let objects = config.map(|config| block::open_store(&config)).transpose();
        let objects = objects.map_err(|error| Fault::usage(format!("object store: {error}")))?;
        let catalogue = match &flags.addresses[..] {
            [] => None,
            addresses => Some(catalogue_of(addresses).await?),
        };
        if objects.is_none() && catalogue.is_none() {
            let advice = "say where blocks are: --objstore.dir, --objstore.config-file or --cluster.address";
            return Err(Fault::usage(advice).into());
        }
        Ok(Self { objects, catalogue })
    }

    /// Returns what reads objects.
    ///
    /// # Errors
    /// One line when only a catalogue was given.
    pub(super) fn reader(&self) -> Result<Arc<ObjectStoreReader>, Stop> {
        Ok(Arc::new(ObjectStoreReader::new(Arc::clone(self.objects()?))))
    }

    fn objects(&self) -> Result<&Arc<dyn ObjectStore>, Stop> {
        let advice = "this reads objects: give --objstore.dir or --objstore.config-file, too";
        Ok(self.objects.as_ref().ok_or_else(|| Fault::usage(advice))?)
    }

    /// Returns one block.
    ///
    /// # Errors
    /// One line when it is not there or cannot tell what it is.
    pub(super) async fn block(&self, id: BlockId) -> Result<BlockMeta, Stop> {
        if let Some(state) = &self.catalogue {
            let entry = state.catalogue.get(id);
            let gone = || Fault::failed(format!("block {id} is not in the catalogue"));
            return Ok(entry.ok_or_else(gone)?.meta.clone());
        }
        let (series, chunks) = block::object_keys(id);
        let folder = series.rsplit_once('/').map_or("", |(folder, _)| folder);
        let found = self.list(folder).await?;
        let sizes =
            found.get(&id).ok_or_else(|| Fault::failed(format!("block {id} is not in the bucket")))?;
        let [Some(series_bytes), Some(_)] = *sizes else {
            return Err(Fault::failed(format!("block {id} is {}", incomplete(*sizes))).into());
        };
        Ok(block::describe(&*self.reader()?, &series, &chunks, series_bytes).await?)
    }

    /// Returns all blocks, in the order of their ids.
    ///
    /// # Errors
    /// One line when the bucket cannot be read.
    pub(super) async fn blocks(&self) -> Result<Vec<Found>, Stop> {
        if let Some(state) = &self.catalogue {
            let entries = state.catalogue.iter().map(|entry| Found {
                id: entry.meta.id,
                meta: Some(entry.meta.clone()),
                state: match (&entry.state, &entry.set_aside) {
                    (BlockState::Tombstoned { reason, .. }, _) => format!("tombstoned: {reason}"),
                    (BlockState::Active, Some(reason)) => format!("set aside: {reason}"),
                    (BlockState::Active, None) => "active".to_owned(),
                },
            });
            return Ok(entries.collect());
        }
        let reader = self.reader()?;
        let mut blocks = Vec::new();
        for (id, sizes) in self.list(PREFIX).await? {
            let (series, chunks) = block::object_keys(id);
            let (meta, state) = match sizes {
                [Some(series_bytes), Some(_)] => {
                    match block::describe(&*reader, &series, &chunks, series_bytes).await {
                        Ok(meta) => (Some(meta), "stored".to_owned()),
                        Err(error) if error.damage().is_some() => (None, format!("damaged: {error}")),
                        Err(error) => return Err(error.into()),
                    }
                }
                sizes => (None, incomplete(sizes)),
            };
            blocks.push(Found { id, meta, state });
        }
        Ok(blocks)
    }

    /// Lists the objects of blocks below a folder.
    async fn list(&self, folder: &str) -> Result<BTreeMap<BlockId, Sizes>, Stop> {
        let folder = object_store::path::Path::from(folder);
        let failed = |error| Fault::failed(format!("listing {folder}: {}", service::chain(&error)));
        let objects: Vec<ObjectMeta> =
            self.objects()?.list(Some(&folder)).try_collect().await.map_err(failed)?;
        let mut blocks: BTreeMap<BlockId, Sizes> = BTreeMap::new();
        for object in objects {
            let key = object.location.as_ref();
            let Some(id) = key.rsplit('/').nth(1).and_then(|id| id.parse().ok()) else { continue };
            let (series, chunks) = block::object_keys(id);
            let keys = [series, chunks];
            if let Some(which) = keys.iter().position(|own| own == key) {
                blocks.entry(id).or_default()[which] = Some(object.size);
            }
        }
        Ok(blocks)
    }
}

fn incomplete(sizes: Sizes) -> String {
    let missing = if sizes[0].is_none() { "series.parquet" } else { "chunks.parquet" };
    format!("incomplete: {missing} is missing")
}

fn config_of(file: &Path) -> Result<ObjectStoreConfig, Fault> {
    let cannot = |error: &dyn std::fmt::Display| Fault::usage(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| cannot(&error))?;
    ObjectStoreConfig::from_thanos_yaml(&text).map_err(|error| cannot(&error))
}

/// Asks one ingester after the other.
async fn catalogue_of(addresses: &[String]) -> Result<ControlState, Fault> {
    let connector = Connector::default();
    let mut reasons = Vec::new();
    for address in addresses {
        match tokio::time::timeout(CATALOGUE_TIMEOUT, snapshot(&connector, address)).await {
            Ok(Ok(state)) => return Ok(state),
            Ok(Err(reason)) => reasons.push(format!("{address}: {reason}")),
            Err(_) => reasons.push(format!("{address}: no answer within {CATALOGUE_TIMEOUT:?}")),
        }
    }
    Err(Fault::failed(format!("no catalogue: {}", reasons.join("; "))))
}

/// Takes the control state as one ingester has it.
async fn snapshot(connector: &Connector, address: &str) -> Result<ControlState, String> {
    let client = ControlClient::new(connector.channel(address)?);
    let mut client = client.max_decoding_message_size(proto::connect::MESSAGE_BYTES_MAX);
    let message = |status: tonic::Status| status.message().to_owned();
    let stream = client.watch(WatchRequest { from_version: 0 }).await.map_err(message)?;
    let first = stream.into_inner().message().await.map_err(message)?;
    match first.and_then(|event| event.event) {
        Some(Event::Snapshot(bytes)) => ControlState::decode(&bytes),
        _ => Err("the cluster is not founded yet".to_owned()),
    }
}
