//! A fleet of pods with a hundred series each, as a Kubernetes cluster has them: values and labels are a pure function of the pod,
//! the series and the step. The mix is that of the benchmark's workload: constants, counters, gauges, histograms, full-precision sums.

use model::{LabelSet, Samples};

/// Distance of samples.
pub(crate) const STEP_MS: i64 = 15_000;
/// Series of one pod.
pub(crate) const POD_SERIES: usize = 100;

/// How a series behaves from step to step.
#[derive(Clone, Copy)]
enum Kind {
    Const(f64),
    /// Counts in units of 10^-decimals, at most `rate` a second.
    Counter {
        decimals: i32,
        rate: f64,
    },
    /// Adds up floats of full precision.
    Sum,
    /// Walks by up to `spread` units of 10^-decimals, with a probability a step.
    Gauge {
        decimals: i32,
        base: f64,
        spread: f64,
        p: f64,
    },
    /// A float of full precision, drawn anew with a probability a step.
    Float {
        base: f64,
        p: f64,
    },
    /// The n-th bucket of a classic histogram, cumulative.
    Bucket(usize),
    /// The sum of the histogram before it.
    HistogramSum,
    /// The count of the histogram before it.
    HistogramCount,
}

const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const JOBS: [&str; 10] =
    ["auth", "billing", "cart", "catalog", "checkout", "gateway", "orders", "payments", "search", "users"];

type Series = (String, Vec<(&'static str, &'static str)>, Kind);

/// The hundred series of a pod, in the order in which a histogram needs its buckets before its sum.
fn template() -> Vec<Series> {
    let gauge = |decimals, base, spread, p| Kind::Gauge { decimals, base, spread, p };
    let count = |decimals, rate| Kind::Counter { decimals, rate };
    let mut all: Vec<Series> = Vec::new();
    let mut add = |name: &str, labels: &[(&'static str, &'static str)], kind| {
        all.push((name.to_owned(), labels.to_vec(), kind));
    };
    for (name, value) in [("up", 1.0), ("build_info", 1.0), ("pod_info", 1.0), ("samples_scraped", 100.0)] {
        add(name, &[], Kind::Const(value));
    }
    for (name, value) in [("series_added", 0.0), ("last_reload_timestamp_seconds", 1.7e9)] {
        add(name, &[], Kind::Const(value));
    }
    for phase in ["Failed", "Pending", "Running", "Succeeded", "Unknown"] {
        add("pod_status_phase", &[("phase", phase)], Kind::Const(f64::from(phase == "Running")));
    }
    add("process_cpu_seconds_total", &[], count(2, 80.0));
    add("process_resident_memory_bytes", &[], gauge(0, 4e8, 2e6, 0.7));
    add("process_open_fds", &[], gauge(0, 40.0, 2.0, 0.3));
    add("go_goroutines", &[], gauge(0, 120.0, 8.0, 0.9));
    add("go_threads", &[], gauge(0, 12.0, 1.0, 0.02));
    add("go_memstats_alloc_bytes", &[], gauge(0, 8e7, 8e6, 1.0));
    add("go_memstats_heap_objects", &[], gauge(0, 6e5, 4e4, 1.0));
    for quantile in ["0", "0.25", "0.5", "0.75", "1"] {
        add("go_gc_duration_seconds", &[("quantile", quantile)], Kind::Float { base: 3e-4, p: 0.15 });
    }
    add("go_gc_duration_seconds_sum", &[], Kind::Sum);
    add("go_gc_duration_seconds_count", &[], count(0, 0.1));
    for method in ["GET", "POST", "PUT"] {
        for (code, rate) in [("200", 200.0), ("204", 200.0), ("404", 0.5), ("500", 0.5)] {
            add("http_requests_total", &[("method", method), ("code", code)], count(0, rate));
        }
    }
    for handler in ["/api/items", "/api/orders"] {
        for (number, bound) in BOUNDS.iter().enumerate() {
            add(
                "http_duration_seconds_bucket",
                &[("handler", handler), ("le", *bound)],
                Kind::Bucket(number),
            );
        }
        add("http_duration_seconds_sum", &[("handler", handler)], Kind::HistogramSum);
        add("http_duration_seconds_count", &[("handler", handler)], Kind::HistogramCount);
    }
    for service in ["auth", "billing", "catalog", "search", "users"] {
        add("rpc_requests_total", &[("service", service), ("code", "OK")], count(0, 60.0));
        add("rpc_requests_total", &[("service", service), ("code", "Unavailable")], count(0, 0.02));
    }
    for (cpu, image, device) in [("0", "app", "nvme0n1"), ("1", "sidecar", "nvme1n1")] {
        add("container_cpu_usage_seconds_total", &[("cpu", cpu)], Kind::Sum);
        add("container_memory_bytes", &[("image", image)], gauge(0, 3e8, 4e6, 0.8));
        add("disk_io_time_seconds_total", &[("device", device)], count(3, 300.0));
    }
    for name in ["network_receive_bytes_total", "network_transmit_bytes_total"] {
        add(name, &[("interface", "eth0")], count(0, 4e6));
    }
    for queue in ["email", "events", "retry", "webhook"] {
        add("queue_depth", &[("queue", queue)], gauge(0, 20.0, 5.0, 0.25));
        add("cache_hit_ratio", &[("cache", queue)], gauge(4, 9000.0, 60.0, 0.6));
    }
    for sensor in ["inlet", "outlet"] {
        add("temperature_celsius", &[("sensor", sensor)], gauge(1, 450.0, 5.0, 0.7));
    }
    for state in ["active", "idle", "waiting"] {
        add("db_connections", &[("pool", "primary"), ("state", state)], gauge(0, 8.0, 2.0, 0.4));
        add("db_connections", &[("pool", "replica"), ("state", state)], gauge(0, 8.0, 2.0, 0.4));
    }
    add("scrape_duration_seconds", &[], Kind::Float { base: 0.02, p: 1.0 });
    all
}

fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Clone)]
struct State {
    random: u64,
    value: f64,
    rate: f64,
}

impl State {
    /// Uniform from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.random) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One pod, walked forward in time.
pub(crate) struct Pod {
    number: usize,
    template: Vec<Series>,
    states: Vec<State>,
}

impl Pod {
    /// Makes a pod that has run for a while.
    pub(crate) fn new(number: usize) -> Self {
        let template = template();
        let hash = |salt: u64| mix(mix(number as u64) ^ salt);
        let start = |(at, (_, _, kind)): (usize, &Series)| {
            let mut state = State { random: hash(1000 + at as u64), value: 0.0, rate: 0.0 };
            // Rates over four decades; a quarter of the counters idle.
            let scale = if state.unit() < 0.25 { 0.0 } else { 10f64.powf(-4.0 * state.unit()) };
            let age_s = state.unit() * 1e6;
            (state.rate, state.value) = match *kind {
                Kind::Const(value) => (0.0, value),
                Kind::Counter { rate, .. } => (rate * scale, (rate * scale * age_s).floor()),
                Kind::Sum => (0.5 * scale.max(1e-3), 0.5 * scale.max(1e-3) * age_s),
                Kind::Gauge { base, .. } => (0.0, (base * (0.5 + state.unit())).floor()),
                Kind::Float { base, .. } => (base, base),
                Kind::Bucket(number) => {
                    let (centre, total) =
                        ((hash(7) % 8) as f64 + 1.0, 10f64.powf((hash(8) % 4) as f64 - 1.0));
                    let rate = total * (-(number as f64 - centre).powi(2) / 3.0).exp();
                    (rate, (rate * age_s).floor())
                }
                Kind::HistogramSum => (0.0, age_s * 1e-3),
                Kind::HistogramCount => (0.0, 0.0),
            };
            state
        };
        let states = template.iter().enumerate().map(start).collect();
        Self { number, template, states }
    }

    /// Returns the labels of all series.
    pub(crate) fn labels(&self) -> Vec<LabelSet> {
        let number = self.number;
        let job = JOBS[number % JOBS.len()];
        let pod = format!("{job}-{:08x}-{:05x}", mix(number as u64) >> 32, mix(number as u64 + 1) & 0xf_ffff);
        let instance = format!("10.{}.{}.{}:8080", number % 61, number >> 8 & 255, number & 255);
        let own = [
            ("cluster", format!("prod-{}", number / JOBS.len() % 3)),
            ("instance", instance),
            ("job", job.to_owned()),
            ("namespace", format!("team-{}", number % 12)),
            ("node", format!("node-{:04}.c.internal", number / 30)),
            ("pod", pod),
        ];
        let set = |(name, labels, _): &Series| {
            let target = own.iter().map(|(name, value)| (*name, value.as_str()));
            LabelSet::from_pairs(labels.iter().copied().chain(target).chain([("__name__", name.as_str())]))
        };
        self.template.iter().map(set).collect()
    }

    /// Returns the next samples of all series, scraped from `start_ms` on.
    pub(crate) fn scrape(&mut self, start_ms: i64, steps: usize) -> Vec<Samples> {
        let offset_ms = (mix(self.number as u64 ^ 0xabcd) % STEP_MS as u64) as i64;
        let mut all = vec![Samples::default(); self.template.len()];
        for step in 0..steps as i64 {
            let (mut cumulative, mut observed) = (0.0, 0.0);
            let series = self.states.iter_mut().zip(&self.template).zip(&mut all);
            for ((state, (_, _, kind)), samples) in series {
                let value = next(state, *kind, &mut cumulative, &mut observed);
                samples.push(start_ms + step * STEP_MS + offset_ms, value);
            }
        }
        all
    }
}

fn next(state: &mut State, kind: Kind, cumulative: &mut f64, observed: &mut f64) -> f64 {
    let step_s = STEP_MS as f64 / 1000.0;
    match kind {
        Kind::Const(value) => value,
        Kind::Counter { decimals, .. } => {
            let more = (state.rate * step_s * (0.5 + state.unit()) + state.unit()).floor();
            state.value += if state.rate > 0.0 { more } else { 0.0 };
            state.value / 10f64.powi(decimals)
        }
        Kind::Sum => {
            state.value += state.rate * step_s * (0.5 + state.unit());
            state.value
        }
        Kind::Gauge { decimals, spread, p, .. } => {
            if state.unit() < p {
                state.value = (state.value + ((state.unit() * 2.0 - 1.0) * (spread + 0.5)).round()).abs();
            }
            state.value / 10f64.powi(decimals)
        }
        Kind::Float { p, .. } => {
            if state.unit() < p {
                state.value = state.rate * (0.8 + 0.4 * state.unit());
            }
            state.value
        }
        Kind::Bucket(number) => {
            if number == 0 {
                (*cumulative, *observed) = (0.0, 0.0);
            }
            let more = (state.rate * step_s * (0.5 + state.unit()) + state.unit() * 0.999).floor();
            let bound: f64 = BOUNDS[number.min(10)].parse().unwrap_or(10.0);
            *observed += more * bound * (0.5 + 0.5 * state.unit());
            state.value += more;
            *cumulative += state.value;
            *cumulative
        }
        Kind::HistogramSum => {
            state.value += *observed;
            state.value
        }
        Kind::HistogramCount => *cumulative,
    }
}
