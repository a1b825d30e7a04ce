//! The format does not change by accident: schema, metadata and bytes of a small block are pinned.

mod support;

use model::{BlockRange, LabelSet};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use support::{PlainSeries, build_plain, cluster_series, labels, spec};

const RANGE: BlockRange =
    BlockRange { start: model::TimestampMs(7_200_000), end: model::TimestampMs(14_400_000) };

fn small_block() -> block::BuiltBlock {
    let sample = |time: i64, value: f64| (time, value.to_bits());
    let series = [
        PlainSeries {
            labels: labels(&[("__name__", "up"), ("job", "node"), ("instance", "b:9100")]),
            samples: vec![sample(7_200_000, 1.0), (7_215_000, model::STALE_NAN_BITS)],
        },
        PlainSeries {
            labels: labels(&[("__name__", "up"), ("job", "node"), ("instance", "a:9100")]),
            samples: vec![sample(7_200_500, 1.0), sample(7_215_500, 0.0), sample(7_230_500, 1.0)],
        },
        PlainSeries {
            labels: labels(&[("__name__", "http"), ("job", "web"), ("code", "200")]),
            samples: vec![sample(14_399_999, 0.1)],
        },
    ];
    build_plain(&spec(RANGE), &series).expect("valid input")
}

fn open(bytes: &bytes::Bytes) -> SerializedFileReader<bytes::Bytes> {
    SerializedFileReader::new(bytes.clone()).expect("a Parquet file")
}

fn schema(file: &SerializedFileReader<bytes::Bytes>) -> String {
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, file.metadata().file_metadata().schema());
    String::from_utf8(text).expect("text")
}

fn key_values(file: &SerializedFileReader<bytes::Bytes>) -> Vec<String> {
    let entries = file.metadata().file_metadata().key_value_metadata().expect("present");
    entries
        .iter()
        .map(|entry| format!("{}={}", entry.key, entry.value.as_deref().unwrap_or_default()))
        .collect()
}

#[test]
fn the_schema_of_both_files() {
    let built = small_block();
    assert_eq!(
        schema(&open(&built.series_bytes)),
        "message series {\n  OPTIONAL BYTE_ARRAY l___name__ (STRING);\n  OPTIONAL BYTE_ARRAY l_code (STRING);\n  \
         OPTIONAL BYTE_ARRAY l_instance (STRING);\n  OPTIONAL BYTE_ARRAY l_job (STRING);\n  \
         REQUIRED INT32 s_kinds;\n  REQUIRED INT64 s_mint;\n  REQUIRED INT64 s_maxt;\n  \
         REQUIRED INT32 s_samples;\n}\n"
    );
    assert_eq!(schema(&open(&built.chunks_bytes)), "message chunks {\n  REQUIRED BYTE_ARRAY c0;\n}\n");
}

#[test]
fn the_metadata_of_both_files() {
    let built = small_block();
    let both = [
        "norn.format=1",
        "norn.block=000006VQ80000000000000001A",
        "norn.shard=3",
        "norn.level=0",
        "norn.mint=7200000",
        "norn.maxt=14400000",
        "norn.cut_index=99",
        r#"norn.ext_labels={"cluster":"eu"}"#,
        "norn.windows=[7200000,14400000]",
        r#"norn.stats={"series":3,"samples":6}"#,
        "norn.rows_xxh3=036e653cbd5e4ffbc2d6a6a36f4beae2",
    ];
    assert_eq!(key_values(&open(&built.chunks_bytes)), both);
    let of_series = [
        r#"norn.sort_labels=["__name__","code","instance","job"]"#,
        r#"norn.chunks={"size_bytes":583,"tail_bytes":448,"crc32c":2823800596,"tail_crc32c":2812084935}"#,
        r#"norn.index={"offset":503,"length":174,"version":1}"#,
        r#"norn.meta={"offset":677,"length":107,"version":1}"#,
        r#"norn.pages={"offset":784,"length":27,"version":1}"#,
    ];
    let expected: Vec<&str> = both.iter().chain(&of_series).copied().collect();
    assert_eq!(key_values(&open(&built.series_bytes)), expected);
}

/// Bytes may change only with the format's version, or with a release of the Parquet or zstd library: then deliberately.
#[test]
fn the_bytes_of_both_files() {
    let built = small_block();
    let facts = [&built.meta.series_object, &built.meta.chunks_object]
        .map(|o| (o.size_bytes, o.tail_bytes, o.crc32c));
    assert_eq!(facts, [(2452, 1641, 2_454_239_781), (583, 448, 2_823_800_596)]);
}

#[test]
fn other_readers_find_labels_and_times_in_row_order() {
    let file = open(&small_block().series_bytes);
    let rows = file.get_row_iter(None).expect("readable");
    let rows: Vec<String> = rows.map(|row| row.expect("readable").to_string()).collect();
    assert_eq!(
        rows,
        [
            r#"{l___name__: "http", l_code: "200", l_instance: null, l_job: "web", s_kinds: 1, s_mint: 14399999, s_maxt: 14399999, s_samples: 1}"#,
            r#"{l___name__: "up", l_code: null, l_instance: "a:9100", l_job: "node", s_kinds: 1, s_mint: 7200500, s_maxt: 7230500, s_samples: 3}"#,
            r#"{l___name__: "up", l_code: null, l_instance: "b:9100", l_job: "node", s_kinds: 33, s_mint: 7200000, s_maxt: 7215000, s_samples: 2}"#,
        ]
    );
    let group = &file.metadata().row_groups()[0];
    let sorting: Vec<i32> =
        group.sorting_columns().expect("declared").iter().map(|column| column.column_idx).collect();
    assert_eq!(sorting, [0, 1, 2, 3]);
}

#[test]
fn labels_without_a_column_are_in_the_overflow_column() {
    let mut series = cluster_series(1, 1, BlockRange::new(7_200_000, 7_215_000));
    let many: Vec<(String, String)> = (0..600).map(|i| (format!("label_{i:03}"), format!("v{i}"))).collect();
    series[0].labels = LabelSet::from_pairs(many);
    let file = open(&build_plain(&spec(RANGE), &series).expect("valid input").series_bytes);
    let row = file.get_row_iter(None).expect("readable").next().expect("one row").expect("readable");
    assert_eq!(row.get_string(511).expect("a label"), "v511");
    let rest =
        LabelSet::from_bytes(row.get_bytes(512).expect("the overflow column").data()).expect("a label set");
    assert_eq!(rest.len(), 88);
    assert_eq!(rest.get("label_599"), "v599");
}
