//! One select request at one peer: the stream of frames into series, within the query's memory and the time for silence.

use bytes::Bytes;
use chunk::EncodedChunk;
use model::{ErrorKind, LabelSet};
use proto::connect::Channel;
use proto::error::status;
use proto::frame::{WireChunk, read_frame};
use proto::store::store_client::StoreClient;
use proto::store::{SelectFrame, SelectRequest};
use selection::PartSeries;
use storage::{QueryMemory, Reservation, StorageError};
use tonic::Status;

use crate::fleet::{CallError, SILENCE_MAX};

/// What one peer answered, and the memory it takes.
pub(crate) struct Selected {
    pub(crate) series: Vec<PartSeries>,
    pub(crate) memory: Reservation,
}

/// Selects at one peer.
pub(crate) async fn select(
    mut client: StoreClient<Channel>,
    request: SelectRequest,
    memory: QueryMemory,
) -> Result<Selected, CallError> {
    let mut frames = in_time(client.select(request)).await?.into_inner();
    // An attempt that fails gives back what it took.
    let (mut memory, mut series) = (memory.empty(), Vec::new());
    while let Some(frame) = in_time(frames.message()).await? {
        let refused = |error: storage::MemoryError| CallError::Local(error.into());
        memory.grow(size_bytes(&frame)).map_err(refused)?;
        memory.make_room(&mut series, frame.labels_sizes.len()).map_err(refused)?;
        series.extend(convert(frame).map_err(CallError::Local)?);
    }
    Ok(Selected { series, memory })
}

/// Waits for an answer; a peer that is silent for too long counts as away.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let silent = |_| status(ErrorKind::Timeout, format!("silent for {} seconds", SILENCE_MAX.as_secs()));
    tokio::time::timeout(SILENCE_MAX, call).await.map_err(silent)?
}

/// Reads labels from the wire.
pub(crate) fn labels_from_wire(bytes: &[u8]) -> Result<LabelSet, StorageError> {
    LabelSet::from_bytes(bytes).map_err(|error| {
        let text = format!("a peer sent malformed labels: {error}");
        StorageError::with_source(ErrorKind::Corrupt, text, error)
    })
}

/// Returns what a frame's series take until the query ends: the frame's bytes, which chunks share, and labels of their own.
fn size_bytes(frame: &SelectFrame) -> u64 {
    let labels: u64 = frame.labels_sizes.iter().map(|size| u64::from(*size)).sum();
    let series = frame.labels_sizes.len() * PartSeries::OVERHEAD_BYTES;
    let chunks = frame.chunk_sizes.len() * size_of::<EncodedChunk>();
    labels + (frame.data.len() + series + chunks) as u64
}

fn convert(frame: SelectFrame) -> Result<Vec<PartSeries>, StorageError> {
    let encoded = |chunk: WireChunk| EncodedChunk {
        start_ms: chunk.start_ms,
        end_ms: chunk.end_ms,
        samples: chunk.samples,
        data: chunk.data,
    };
    let series = read_frame(frame, encoded).map_err(|error| {
        StorageError::with_source(
            ErrorKind::Corrupt,
            format!("a peer sent what is no answer: {error}"),
            error,
        )
    })?;
    let part = |(labels, chunks): (Bytes, _)| Ok(PartSeries { labels: labels_from_wire(&labels)?, chunks });
    series.into_iter().map(part).collect()
}
