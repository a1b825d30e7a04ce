//! The bucket: objects and open multipart uploads under one mutex, so that every operation is atomic.
//!
//! Knows nothing of HTTP. Entity tags are a hash of the contents, so that equal contents have equal tags as in S3; a
//! multipart upload's tag ends in its number of parts, as there.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};
use xxhash_rust::xxh3::xxh3_128;

use super::list::{Listing, Page, list};

/// The smallest part that is not the last one. Source: the S3 user guide, "Multipart upload limits".
const PART_BYTES_MIN: usize = 5 << 20;

/// One object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) tag: String,
    pub(super) modified: SystemTime,
}

/// Under which conditions a write may be done.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

struct Upload {
    key: String,
    parts: BTreeMap<i32, Bytes>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    next_upload: u64,
}

#[derive(Default)]
pub(super) struct Bucket {
    state: Mutex<State>,
}

impl Bucket {
    pub(super) fn keys(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<Object> {
        self.state.lock().objects.get(key).cloned()
    }

    pub(super) fn tamper(&self, key: &str, bytes: Option<Bytes>) {
        let mut state = self.state.lock();
        match bytes {
            Some(bytes) => drop(state.objects.insert(key.to_owned(), object(bytes, None))),
            None => drop(state.objects.remove(key)),
        }
    }

    /// Writes an object if the conditions hold at this very moment; returns its tag.
    pub(super) fn put(&self, key: String, bytes: Bytes, conditions: &Conditions) -> S3Result<String> {
        let object = object(bytes, None);
        let mut state = self.state.lock();
        check(state.objects.get(&key), conditions)?;
        let tag = object.tag.clone();
        state.objects.insert(key, object);
        Ok(tag)
    }

    pub(super) fn copy(&self, from: &str, to: String) -> S3Result<Object> {
        let mut state = self.state.lock();
        let mut object = state.objects.get(from).cloned().ok_or_else(|| s3_error!(NoSuchKey))?;
        object.modified = SystemTime::now();
        state.objects.insert(to, object.clone());
        Ok(object)
    }

    /// Deletes; a key that is not there is a success too, as in S3.
    pub(super) fn delete(&self, key: &str) {
        self.state.lock().objects.remove(key);
    }

    pub(super) fn list(&self, listing: &Listing) -> Page {
        list(&self.state.lock().objects, listing)
    }

    pub(super) fn create_upload(&self, key: String) -> String {
        let mut state = self.state.lock();
        state.next_upload += 1;
        let id = format!("upload-{}", state.next_upload);
        state.uploads.insert(id.clone(), Upload { key, parts: BTreeMap::new() });
        id
    }

    pub(super) fn put_part(&self, id: &str, key: &str, number: i32, bytes: Bytes) -> S3Result<String> {
        let tag = tag_of(&bytes);
        let mut state = self.state.lock();
        let upload = state.uploads.get_mut(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))?.parts.insert(number, bytes);
        Ok(tag)
    }

    pub(super) fn abort_upload(&self, id: &str, key: &str) -> S3Result<()> {
        let mut state = self.state.lock();
        state.uploads.get(id).filter(|upload| upload.key == key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        state.uploads.remove(id);
        Ok(())
    }

    /// Joins the named parts into one object; the upload stays open when that is refused.
    pub(super) fn complete_upload(
        &self,
        id: &str,
        key: &str,
        named: &[(i32, Option<ETag>)],
        conditions: &Conditions,
    ) -> S3Result<String> {
        let mut state = self.state.lock();
        let upload = state.uploads.get(id).filter(|upload| upload.key == key);
        let bytes = join(upload.ok_or_else(|| s3_error!(NoSuchUpload))?, named)?;
        check(state.objects.get(key), conditions)?;
        let object = object(bytes, Some(named.len()));
        let tag = object.tag.clone();
        state.uploads.remove(id);
        state.objects.insert(key.to_owned(), object);
        Ok(tag)
    }
}

fn join(upload: &Upload, named: &[(i32, Option<ETag>)]) -> S3Result<Bytes> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload has at least one part"));
    }
    if !named.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut joined = BytesMut::new();
    for (index, (number, tag)) in named.iter().enumerate() {
        let part = upload.parts.get(number).ok_or_else(|| s3_error!(InvalidPart))?;
        if tag.as_ref().is_some_and(|tag| tag.value() != tag_of(part)) {
            return Err(s3_error!(InvalidPart));
        }
        if index + 1 < named.len() && part.len() < PART_BYTES_MIN {
            return Err(s3_error!(EntityTooSmall));
        }
        joined.extend_from_slice(part);
    }
    Ok(joined.freeze())
}

fn check(present: Option<&Object>, conditions: &Conditions) -> S3Result<()> {
    let failed =
        || s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
    if let Some(condition) = &conditions.if_none_match
        && present.is_some_and(|object| names(condition, object))
    {
        return Err(failed());
    }
    match (&conditions.if_match, present) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(s3_error!(NoSuchKey)),
        (Some(condition), Some(object)) if names(condition, object) => Ok(()),
        (Some(_), Some(_)) => Err(failed()),
    }
}

/// Tells whether a condition's tag is the object's, or any.
pub(super) fn names(condition: &ETagCondition, object: &Object) -> bool {
    condition.is_any() || condition.as_etag().is_some_and(|tag| tag.value() == object.tag)
}

fn object(bytes: Bytes, parts: Option<usize>) -> Object {
    let tag = tag_of(&bytes);
    let tag = parts.map_or_else(|| tag.clone(), |parts| format!("{tag}-{parts}"));
    Object { bytes, tag, modified: SystemTime::now() }
}

fn tag_of(bytes: &Bytes) -> String {
    format!("{:032x}", xxh3_128(bytes))
}
