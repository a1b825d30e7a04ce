//! How a head's series are spread: counted, and united over two heads.

use batch::BatchBuilder;
use head::{Head, HeadConfig};
use model::{Cardinality, LabelSet};

const CONFIG: HeadConfig =
    HeadConfig { out_of_order_window_ms: 1000, future_ms_max: 1000, series_max: 1_000_000, exemplars_max: 0 };

/// Makes a head with a sample of each of so many instances, and half as many of another metric.
fn head(instances: std::ops::Range<u32>) -> Head {
    let head = Head::new(CONFIG);
    let mut builder = BatchBuilder::new();
    for instance in instances {
        let text = instance.to_string();
        let index =
            builder.declare(&LabelSet::from_pairs([("__name__", "up"), ("instance", &text), ("job", "a")]));
        builder.push_declared(index, 1000 + i64::from(instance), 1.0);
        if instance % 2 == 0 {
            let index = builder.declare(&LabelSet::from_pairs([("__name__", "load"), ("instance", &text)]));
            builder.push_declared(index, 500, 1.0);
        }
    }
    let batch = batch::Batch::decode(&builder.finish()).expect("a batch");
    head.apply(2_000_000, &batch);
    head
}

fn shown(cardinality: &Cardinality) -> String {
    let metrics: Vec<_> = cardinality.metrics.iter().map(|m| format!("{}={}", m.name, m.series)).collect();
    let labels = cardinality.labels.iter();
    let labels: Vec<_> =
        labels.map(|l| format!("{}={}/{}", l.name, l.values.count(), l.value_bytes)).collect();
    let pairs: Vec<_> = cardinality.pairs.iter().map(|p| format!("{}:{}", p.name, p.series)).collect();
    format!(
        "{} series, {} chunks; {}; {}; {}",
        cardinality.series,
        cardinality.chunks,
        metrics.join(" "),
        labels.join(" "),
        pairs.join(" ")
    )
}

#[test]
fn series_are_counted_by_name_and_value() {
    let first = head(0..4).cardinality(3);
    assert_eq!(
        shown(&first),
        "6 series, 6 chunks; up=4 load=2; instance=4/6 __name__=2/16 job=1/4; __name__=up:4 job=a:4 __name__=load:2"
    );
    assert_eq!(first.range.map(|range| (range.start.0, range.end.0)), Some((500, 1003)));
    let one = head(0..4).cardinality(1);
    assert_eq!((one.metrics.len(), one.pairs.len(), one.labels.len()), (1, 1, 3));
}

#[test]
fn values_of_two_heads_are_counted_once() {
    let mut both = head(0..4).cardinality(100);
    both.merge(head(2..6).cardinality(100));
    assert!(shown(&both).contains("instance=6/12 __name__=2/32 job=1/8"), "{}", shown(&both));
    let mut many = head(0..3000).cardinality(10);
    many.merge(head(1500..4500).cardinality(10));
    let instances = many.labels.iter().find(|label| label.name == "instance").expect("it is there");
    assert!((4100..4900).contains(&instances.values.count()), "{}", instances.values.count());
    assert_eq!(Head::new(CONFIG).cardinality(10), Cardinality::default());
}
