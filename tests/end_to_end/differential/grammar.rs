//! Queries that follow from a seed: over the whole grammar, and over data that is there.
//!
//! Types are followed, so that most queries are valid; labels and pairs of sides are chosen so that many match. What is
//! invalid all the same, by chance or by [`Grammar::broken`], must be refused alike.

use promql::ast::{AggregateOp, ValueType};
use promql::function::{Arity, Function, FunctionKind};

use super::data::{LENGTH_MS, START_MS};
use super::random::Random;

/// Functions of Prometheus 3.14 that 3.5 does not have.
const NEWER: [&str; 9] = [
    "end",
    "first_over_time",
    "histogram_quantiles",
    "max_of",
    "min_of",
    "range",
    "start",
    "start_timestamp",
    "ts_of_first_over_time",
];
const NEWER_TOO: [&str; 2] = ["step", "ts_of_last_over_time"];

const NAMES: [&str; 18] = [
    "requests_total",
    "requests_total",
    "errors_total",
    "bytes_sum",
    "temperature",
    "special",
    "small",
    "flapping",
    "sparse",
    "lonely",
    "latency_seconds_bucket",
    "latency_seconds_sum",
    "latency_seconds_count",
    "odd_bucket",
    "build_info",
    "target_info",
    "missing",
    "http.größe",
];
const LABELS: [&str; 11] =
    ["job", "instance", "path", "code", "room", "kind", "le", "version", "zone", "\"größe\"", "__name__"];
const VALUES: [&str; 12] = ["api", "web", "a:1", "b:2", "/", "200", "500", "hall", "1", "mixed", "groß", ""];
const PATTERNS: [&str; 14] = [
    "api|web",
    "a.*",
    ".*",
    ".+",
    "",
    "/.*",
    "[0-9]+",
    "5..",
    "(?i)API",
    "^api$",
    "a(p|x)i",
    ".*:[12]",
    "h.ll|attic",
    "gr.*",
];
const RANGES: [&str; 9] = ["1m", "5m", "2m30s", "15s", "47s", "10m", "1h", "1m1ms", "90"];
const OFFSETS: [&str; 9] = ["5m", "1m30s", "-2m", "13s", "1h", "1ms", "-7m", "0s", "90"];
const NUMBERS: [&str; 16] = [
    "0", "1", "2", "-1", "0.5", "100", "1e3", "-2.5", "Inf", "-Inf", "NaN", "0x1F", "3.14159", "1_000", "5m",
    "1e-3",
];
const QUANTILES: [&str; 9] = ["0", "0.25", "0.5", "0.9", "0.99", "1", "1.5", "-1", "NaN"];
const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", "^", "atan2"];
const SETS: [&str; 3] = ["and", "or", "unless"];

/// Makes queries.
pub(super) struct Grammar {
    pub(super) random: Random,
    functions: Vec<&'static Function>,
}

impl Grammar {
    pub(super) fn new(seed: u64) -> Self {
        let old =
            |function: &&Function| !NEWER.contains(&function.name) && !NEWER_TOO.contains(&function.name);
        Self { random: Random::new(seed), functions: Function::all().iter().filter(old).collect() }
    }

    /// Returns a query: most are instant vectors.
    pub(super) fn query(&mut self) -> String {
        let depth = self.random.below(4);
        match self.random.below(40) {
            0 => self.matrix(depth),
            1 => "\"a text\"".to_owned(),
            2 | 3 => self.scalar(depth),
            _ => self.vector(depth),
        }
    }

    /// Returns a query that something was done to.
    pub(super) fn broken(&mut self) -> String {
        let mut chars: Vec<char> = self.query().chars().collect();
        let at = self.random.below(chars.len());
        if self.random.percent(50) {
            chars.remove(at);
        } else {
            let added = ["(", ")", "{", "}", "[", "]", ",", "\"", "=", "by", "5", "-", "@", " ", "#", "!"];
            chars.splice(at..at, self.random.pick(&added).chars());
        }
        chars.into_iter().collect()
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let depth = depth - 1;
        match self.random.below(20) {
            0..2 => self.selector(),
            2..8 => self.call(depth),
            8..13 => self.aggregate(depth),
            13..18 => self.binary(depth),
            18 => format!("-{}", self.vector(depth)),
            _ => format!("({})", self.vector(depth)),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 4 } else { 9 }) {
            0..3 => self.random.pick(&NUMBERS).to_owned(),
            3 => self.random.pick(&["time()", "pi()"]).to_owned(),
            4 | 5 => format!("scalar({})", self.vector(depth - 1)),
            6 => format!("-({})", self.scalar(depth - 1)),
            7 => {
                let op = self.random.pick(&COMPARISONS);
                format!("({}) {op} bool ({})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            _ => {
                let op = self.random.pick(&ARITHMETIC);
                format!("{} {op} {}", self.scalar(depth - 1), self.scalar(depth - 1))
            }
        }
    }

    fn matrix(&mut self, depth: usize) -> String {
        let range = self.duration(&RANGES);
        if depth == 0 || self.random.percent(65) {
            let name = self.bare_selector();
            return format!("{name}[{range}]{}", self.modifiers());
        }
        let step = self.random.pick(&["", "1m", "30s", "7s", "15s", "5m", "90"]).to_owned();
        let inner = self.vector(depth - 1);
        format!("({inner})[{range}:{step}]{}", self.modifiers())
    }

    fn duration(&mut self, of: &[&str]) -> String {
        let one = self.random.pick(of);
        if self.random.percent(4) { format!("{one} * 2 - 3s") } else { one.to_owned() }
    }

    fn selector(&mut self) -> String {
        let bare = self.bare_selector();
        format!("{bare}{}", self.modifiers())
    }

    fn modifiers(&mut self) -> String {
        let offset = if self.random.percent(15) {
            format!(" offset {}", self.random.pick(&OFFSETS))
        } else {
            String::new()
        };
        let at = match self.random.below(100) {
            0..4 => " @ start()".to_owned(),
            4..8 => " @ end()".to_owned(),
            8..14 => {
                let ms = START_MS + self.random.between(0, LENGTH_MS);
                format!(" @ {}.{:03}", ms / 1000, ms % 1000)
            }
            _ => String::new(),
        };
        if self.random.percent(50) { offset + &at } else { at + &offset }
    }

    fn bare_selector(&mut self) -> String {
        let name = self.random.pick(&NAMES);
        let mut matchers: Vec<String> = (0..self.random.below(3)).map(|_| self.matcher()).collect();
        if self.random.percent(60) {
            matchers.clear();
        }
        if name.contains('.') {
            matchers.insert(0, format!("\"{name}\""));
            return format!("{{{}}}", matchers.join(", "));
        }
        if self.random.percent(5) {
            matchers.push(format!("__name__=~\"{name}|small|errors_.*\""));
            return format!("{{{}}}", matchers.join(", "));
        }
        if matchers.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", matchers.join(",")) }
    }

    fn matcher(&mut self) -> String {
        let label = self.random.pick(&LABELS[..LABELS.len() - 1]);
        let op = self.random.pick(&["=", "!=", "=~", "!~"]);
        let value = if op.contains('~') { self.random.pick(&PATTERNS) } else { self.random.pick(&VALUES) };
        format!("{label}{op}\"{value}\"")
    }

    fn labels(&mut self) -> String {
        let count = self.random.below(4);
        let labels: Vec<&str> = (0..count).map(|_| self.random.pick(&LABELS)).collect();
        labels.join(", ")
    }

    fn grouping(&mut self) -> String {
        match self.random.below(4) {
            0 => String::new(),
            1 => format!(" without ({})", self.labels()),
            _ => format!(" by ({})", self.labels()),
        }
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let op = AggregateOp::ALL[self.random.below(AggregateOp::ALL.len())];
        let grouping = self.grouping();
        let param = match op {
            AggregateOp::CountValues => {
                format!("{}, ", self.random.pick(&["\"value\"", "\"größe\"", "\"job\"", "\"\""]))
            }
            AggregateOp::Quantile => format!("{}, ", self.random.pick(&QUANTILES)),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
                format!("{}, ", self.random.pick(&["1", "2", "3", "5", "0", "1.7", "1000", "-1"]))
            }
            AggregateOp::LimitRatio => {
                format!("{}, ", self.random.pick(&["0", "0.3", "0.5", "1", "-0.5", "-0.2", "2"]))
            }
            _ => String::new(),
        };
        let inner = match op {
            // Which of equal ones, or of those after a function, come first is not specified.
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK
                if !["0, ", "1000, ", "-1, "].contains(&param.as_str()) =>
            {
                let distinct = ["temperature", "flapping", "{\"http.größe\"}"];
                format!("{}{}", self.random.pick(&distinct), self.modifiers())
            }
            // As text, the last digit of a sine would be a difference.
            AggregateOp::CountValues if self.random.percent(50) => {
                format!("{} > bool 0.5", self.vector(depth))
            }
            AggregateOp::CountValues => self.selector(),
            _ => self.vector(depth),
        };
        if self.random.percent(50) {
            format!("{op}{grouping} ({param}{inner})")
        } else {
            format!("{op}({param}{inner}){grouping}")
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let op = match self.random.below(10) {
            0..5 => self.random.pick(&ARITHMETIC).to_owned(),
            5..8 if self.random.percent(40) => format!("{} bool", self.random.pick(&COMPARISONS)),
            5..8 => self.random.pick(&COMPARISONS).to_owned(),
            _ => {
                let matching = match self.random.below(3) {
                    0 => format!(" on ({})", self.labels()),
                    1 => format!(" ignoring ({})", self.labels()),
                    _ => String::new(),
                };
                let (left, right) = (self.vector(depth), self.vector(depth));
                return format!("{left} {}{matching} {right}", self.random.pick(&SETS));
            }
        };
        match self.random.below(12) {
            0..2 => format!("{} {op} {}", self.vector(depth), self.scalar(depth)),
            2..4 => format!("{} {op} {}", self.scalar(depth), self.vector(depth)),
            4..7 => {
                // The same series on both sides.
                let (one, other) = (self.bare_selector(), self.modifiers());
                format!("{one} {op} {one}{other}")
            }
            7 => {
                let (left, right) = (self.vector(depth), self.vector(depth));
                let groups = [" ", "", " group_left()", " group_right()", " group_left (version, job)"];
                let word = self.random.pick(&["on", "ignoring"]);
                let labels = self.labels();
                format!("{left} {op} {word} ({labels}){} {right}", self.random.pick(&groups))
            }
            8 => {
                let left = self.random.pick(&["requests_total", "rate(requests_total[5m])", "errors_total"]);
                let info = self.random.pick(&["build_info", "target_info"]);
                let include = self.random.pick(&["", "version", "version, zone", "zone, job"]);
                if self.random.percent(50) {
                    format!("{left} {op} on (job, instance) group_left ({include}) {info}")
                } else {
                    format!("{info} {op} on (job, instance) group_right ({include}) {left}")
                }
            }
            9 | 10 => {
                // Both sides reduced to the same labels.
                let labels = self.random.pick(&["job", "instance", "job, instance", "kind", "le"]);
                let (left, right) = (self.vector(depth), self.vector(depth));
                format!("sum by ({labels}) ({left}) {op} on ({labels}) max by ({labels}) ({right})")
            }
            _ => format!("{} {op} {}", self.vector(depth), self.vector(depth)),
        }
    }

    fn call(&mut self, depth: usize) -> String {
        let function = self.functions[self.random.below(self.functions.len())];
        let text = match function.kind {
            FunctionKind::LabelReplace => self.label_replace(depth),
            FunctionKind::LabelJoin => {
                let inner = self.vector(depth);
                let target = self.random.pick(&["joined", "job", "__name__", "größe", ""]);
                let sources =
                    self.random.pick(&["", ", \"job\"", ", \"job\", \"instance\", \"none\"", ", \"le\""]);
                format!("label_join({inner}, \"{target}\", \"-\"{sources})")
            }
            FunctionKind::HistogramQuantile | FunctionKind::HistogramFraction => {
                self.histogram(function, depth)
            }
            FunctionKind::SortByLabel | FunctionKind::SortByLabelDesc => {
                let inner = self.vector(depth);
                let labels = self.random.pick(&["", ", \"kind\"", ", \"job\", \"instance\"", ", \"le\""]);
                format!("{}({inner}{labels})", function.name)
            }
            FunctionKind::Info => {
                let inner = self.vector(depth);
                let picked = ["", ", {version=~\".+\"}", ", {__name__=\"build_info\"}", ", {zone=\"1\"}"];
                format!("info({inner}{})", self.random.pick(&picked))
            }
            FunctionKind::QuantileOverTime => {
                format!("quantile_over_time({}, {})", self.random.pick(&QUANTILES), self.matrix(depth))
            }
            FunctionKind::DoubleExponentialSmoothing => {
                let factors = ["0.1", "0.5", "0.9", "0.3", "1.5"];
                let (first, second) = (self.random.pick(&factors), self.random.pick(&factors));
                format!("double_exponential_smoothing({}, {first}, {second})", self.matrix(depth))
            }
            _ => self.plain_call(function, depth),
        };
        if function.returns == ValueType::Scalar { format!("vector({text})") } else { text }
    }

    fn plain_call(&mut self, function: &Function, depth: usize) -> String {
        let optional = function.arity == Arity::OptionalLast && self.random.percent(50);
        let count = function.args.len() - usize::from(optional);
        let args: Vec<String> = function.args[..count]
            .iter()
            .map(|argument| match argument {
                ValueType::Vector => self.vector(depth),
                ValueType::Matrix => self.matrix(depth),
                ValueType::Scalar => self.scalar(depth.min(1)),
                ValueType::String => "\"text\"".to_owned(),
            })
            .collect();
        format!("{}({})", function.name, args.join(", "))
    }

    fn histogram(&mut self, function: &Function, depth: usize) -> String {
        let inner = match self.random.below(5) {
            0 => "latency_seconds_bucket".to_owned(),
            1 => "odd_bucket".to_owned(),
            2 => "rate(latency_seconds_bucket[5m])".to_owned(),
            3 => "sum by (le, job) (rate(latency_seconds_bucket[2m30s]))".to_owned(),
            _ => self.vector(depth),
        };
        let param = if function.kind == FunctionKind::HistogramQuantile {
            self.random.pick(&QUANTILES).to_owned()
        } else {
            let limits = ["0", "0.2", "1", "1.7", "-Inf", "Inf", "NaN"];
            format!("{}, {}", self.random.pick(&limits), self.random.pick(&limits))
        };
        format!("{}({param}, {inner})", function.name)
    }

    fn label_replace(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        let target = self.random.pick(&["new", "job", "__name__", "größe", "instance", ""]);
        let text = self.random.pick(&["$1", "${1}x", "fixed", "", "$2-$1", "$name", "$$", "$0"]);
        let source = self.random.pick(&["instance", "job", "none", "__name__"]);
        let pattern =
            self.random.pick(&["(.*)", "(.):(.)", ".*", "", "a(.*)", "(?P<name>.+):.*", "(", "[a-z]+"]);
        format!("label_replace({inner}, \"{target}\", \"{text}\", \"{source}\", \"{pattern}\")")
    }
}
