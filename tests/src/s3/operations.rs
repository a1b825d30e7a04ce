//! The S3 operations over the bucket: conversions, counting, and the name of the bucket.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as ListedObject, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput,
    UploadPartOutput,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};

use super::bucket::{Bucket, Conditions, Object, names};
use super::counters::{Count, Counting};
use super::list::{Listing, PAGE_ENTRIES_MAX};
use super::{BUCKET, Shared};

pub(super) struct Operations {
    shared: Arc<Shared>,
}

impl Operations {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Counts an operation and returns the bucket if it is ours.
    fn bucket(&self, name: &str, count: Count) -> S3Result<&Bucket> {
        self.shared.counting.add(count, 1);
        if name == BUCKET { Ok(&self.shared.bucket) } else { Err(s3_error!(NoSuchBucket)) }
    }

    fn counting(&self) -> &Counting {
        &self.shared.counting
    }

    /// Reads a whole body; a body that is shorter than announced was cut off and must not be stored.
    async fn collect(&self, body: Option<StreamingBlob>, announced: Option<i64>) -> S3Result<Bytes> {
        let mut bytes = BytesMut::new();
        if let Some(mut body) = body {
            while let Some(part) = body.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
                bytes.extend_from_slice(&part);
            }
        }
        if announced.is_some_and(|announced| announced != bytes.len() as i64) {
            return Err(s3_error!(IncompleteBody));
        }
        self.counting().add(Count::BytesIn, bytes.len());
        Ok(bytes.freeze())
    }
}

/// Finds an object whose tag is as the reader wishes.
fn find(
    bucket: &Bucket,
    key: &str,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Object> {
    let object = bucket.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
    if if_match.is_some_and(|condition| !names(condition, &object)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(|condition| names(condition, &object)) {
        return Err(s3_error!(NotModified));
    }
    Ok(object)
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Get)?;
        let object = find(bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let size = object.bytes.len() as u64;
        let (bytes, content_range) = match input.range {
            None => (object.bytes, None),
            Some(range) => {
                let range = range.check(size).map_err(|_| s3_error!(InvalidRange))?;
                let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                (object.bytes.slice(range.start as usize..range.end as usize), Some(text))
            }
        };
        self.counting().add(Count::BytesOut, bytes.len());
        answer(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(object.modified.into()),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            ..Default::default()
        })
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Head)?;
        let object = find(bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        answer(HeadObjectOutput {
            content_length: Some(object.bytes.len() as i64),
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        })
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Put)?;
        let bytes = self.collect(input.body, input.content_length).await?;
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let tag = bucket.put(input.key, bytes, &conditions)?;
        answer(PutObjectOutput { e_tag: Some(ETag::Strong(tag)), ..Default::default() })
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Copy)?;
        let CopySource::Bucket { bucket: from, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "only a key of the same bucket can be copied"));
        };
        if **from != *BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        let object = bucket.copy(key, input.key)?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        };
        answer(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket, Count::Delete)?.delete(&input.key);
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let mut deleted = Vec::with_capacity(input.delete.objects.len());
        for object in input.delete.objects {
            self.bucket(&input.bucket, Count::Delete)?.delete(&object.key);
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        answer(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() })
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::List)?;
        let asked = input.max_keys.and_then(|keys| usize::try_from(keys).ok());
        let page = bucket.list(&Listing {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.continuation_token.clone().or(input.start_after).unwrap_or_default(),
            entries_max: asked.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX),
        });
        let listed = |(key, object): (String, Object)| ListedObject {
            key: Some(key),
            size: Some(object.bytes.len() as i64),
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        };
        let count = page.objects.len() + page.prefixes.len();
        answer(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            continuation_token: input.continuation_token,
            key_count: Some(count as i32),
            max_keys: Some(input.max_keys.unwrap_or(PAGE_ENTRIES_MAX as i32)),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(page.objects.into_iter().map(listed).collect()),
            common_prefixes: Some(
                page.prefixes.into_iter().map(|p| CommonPrefix { prefix: Some(p) }).collect(),
            ),
            ..Default::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        if input.bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        let id = self.shared.bucket.create_upload(input.key.clone());
        answer(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        })
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Part)?;
        let bytes = self.collect(input.body, input.content_length).await?;
        let tag = bucket.put_part(&input.upload_id, &input.key, input.part_number, bytes)?;
        answer(UploadPartOutput { e_tag: Some(ETag::Strong(tag)), ..Default::default() })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket, Count::Complete)?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let named: Option<Vec<_>> =
            parts.into_iter().map(|part| Some((part.part_number?, part.e_tag))).collect();
        let named = named.ok_or_else(|| s3_error!(MalformedXML, "a part has no number"))?;
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let tag = bucket.complete_upload(&input.upload_id, &input.key, &named, &conditions)?;
        answer(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(tag)),
            ..Default::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        if input.bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        self.shared.bucket.abort_upload(&input.upload_id, &input.key)?;
        answer(AbortMultipartUploadOutput::default())
    }
}
