//! openraft's own tests of a store, on ours: the log over the log engine, and the adapter of the state machine.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use wal::memory::MemoryDisk;
use wal::{GroupId, Wal, WalConfig};

use crate::api::StateMachine;
use crate::machine::{self, Machine};
use crate::store::Store;
use crate::types::TypeConfig;

struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _: u64, _: &[u8]) -> Bytes {
        self.0 += 1;
        Bytes::new()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0.to_le_bytes())
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, Store, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Store, Machine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let config = WalConfig { segment_bytes: 64 << 10, queue_bytes_max: 32 << 10, ..WalConfig::default() };
        let wal = Arc::new(Wal::open_on(Arc::new(MemoryDisk::default()), config).unwrap());
        let log = wal.create_group(GroupId(1)).unwrap();
        let (machine, _) =
            machine::start(Box::new(Counter(0)), "suite".to_owned(), directory.path(), 1 << 30).unwrap();
        Ok((directory, Store::new(wal, log), machine))
    }
}

#[tokio::test]
async fn the_store_passes_openrafts_suite() {
    let outcome = Suite::test_all(Builder).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}
