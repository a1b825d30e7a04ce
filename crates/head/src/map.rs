//! A local file in the address space: the crate's only unsafe code.
//!
//! Pages that are read become resident and count as memory of the process, though the system takes them back when it needs
//! them; [`Map::evict`] gives them back at once.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

/// An immutable file without a name, whole, in memory.
#[derive(Debug)]
pub(crate) struct Map(Mmap);

impl Map {
    /// Writes bytes to a new file of a directory, a file that is gone with the process however it ends, and maps it.
    pub(crate) fn of(bytes: &[u8], directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        write(&file, bytes)?;
        // SAFETY: what must not happen to a mapped file is that anybody changes or shortens it. The file has no name that
        // another process could open, its only handle is `file`, which ends with this function, and nobody else has seen it.
        // It was written as a whole before, so no page of it lies behind its end.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(map))
    }

    /// Makes its pages leave the memory of the process; whoever reads them next fetches them again.
    pub(crate) fn evict(&self) {
        // SAFETY: this advice loses changes that were made through the map alone. This is a shared map of a file that is
        // only read: its pages are the file's, whatever becomes of them.
        let advised = unsafe { self.0.unchecked_advise(UncheckedAdvice::DontNeed) };
        // Advice may be refused: then the pages stay for longer.
        drop(advised);
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut file, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_also_after_an_eviction() {
        let directory = tempfile::tempdir().expect("the system has a directory for temporary files");
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let map = Map::of(&bytes, directory.path()).expect("there is room");
        assert_eq!(map.as_ref(), bytes);
        map.evict();
        assert_eq!(map.as_ref(), bytes);
        let left = std::fs::read_dir(directory.path()).expect("it is there").count();
        assert_eq!(left, 0, "the file has no name");
    }
}
