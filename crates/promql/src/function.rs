//! The table of functions: names, argument types, results.

use crate::ast::ValueType;
use crate::ast::ValueType::{Matrix, Scalar, String as Text, Vector};

/// How many arguments a function takes, seen from its list of argument types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// One for each type.
    Exact,
    /// The last may be missing.
    OptionalLast,
    /// The last may be missing or repeated up to so many in all.
    Repeated(usize),
    /// The last may be missing or repeated.
    Unlimited,
}

impl Arity {
    /// Returns the least and, if there is one, the greatest number of arguments.
    pub(crate) fn bounds(self, types: usize) -> (usize, Option<usize>) {
        match self {
            Self::Exact => (types, Some(types)),
            Self::OptionalLast => (types - 1, Some(types)),
            Self::Repeated(extra) => (types - 1, Some(types - 1 + extra)),
            Self::Unlimited => (types - 1, None),
        }
    }
}

/// Which function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of PromQL")]
pub enum FunctionKind {
    Abs,
    Absent,
    AbsentOverTime,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    AvgOverTime,
    Ceil,
    Changes,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    CountOverTime,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Deg,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    End,
    Exp,
    FirstOverTime,
    Floor,
    HistogramAvg,
    HistogramCount,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStddev,
    HistogramStdvar,
    HistogramSum,
    Hour,
    Idelta,
    Increase,
    Info,
    Irate,
    LabelJoin,
    LabelReplace,
    LastOverTime,
    Ln,
    Log10,
    Log2,
    MadOverTime,
    MaxOf,
    MaxOverTime,
    MinOf,
    MinOverTime,
    Minute,
    Month,
    Pi,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rad,
    Range,
    Rate,
    Resets,
    Round,
    Scalar,
    Sgn,
    Sin,
    Sinh,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Sqrt,
    Start,
    StartTimestamp,
    StddevOverTime,
    StdvarOverTime,
    Step,
    SumOverTime,
    Tan,
    Tanh,
    Time,
    Timestamp,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
    Vector,
    Year,
}

/// One function of the language.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name; case matters.
    pub name: &'static str,
    /// Which it is.
    pub kind: FunctionKind,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// How many of them must be there.
    pub arity: Arity,
    /// The type of its result.
    pub returns: ValueType,
    /// Whether a stock Prometheus has it behind a gate.
    pub experimental: bool,
}

impl Function {
    /// Finds a function by name.
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// Returns all functions, sorted by name.
    pub fn all() -> &'static [Self] {
        FUNCTIONS
    }
}

const fn stable(
    name: &'static str,
    kind: FunctionKind,
    args: &'static [ValueType],
    arity: Arity,
) -> Function {
    Function { name, kind, args, arity, returns: Vector, experimental: false }
}

const fn gated(name: &'static str, kind: FunctionKind, args: &'static [ValueType], arity: Arity) -> Function {
    Function { name, kind, args, arity, returns: Vector, experimental: true }
}

const fn scalar(function: Function) -> Function {
    Function { returns: Scalar, ..function }
}

use self::Arity::{Exact, OptionalLast, Repeated, Unlimited};
use self::FunctionKind as K;

#[rustfmt::skip]
static FUNCTIONS: &[Function] = &[
    stable("abs", K::Abs, &[Vector], Exact),
    stable("absent", K::Absent, &[Vector], Exact),
    stable("absent_over_time", K::AbsentOverTime, &[Matrix], Exact),
    stable("acos", K::Acos, &[Vector], Exact),
    stable("acosh", K::Acosh, &[Vector], Exact),
    stable("asin", K::Asin, &[Vector], Exact),
    stable("asinh", K::Asinh, &[Vector], Exact),
    stable("atan", K::Atan, &[Vector], Exact),
    stable("atanh", K::Atanh, &[Vector], Exact),
    stable("avg_over_time", K::AvgOverTime, &[Matrix], Exact),
    stable("ceil", K::Ceil, &[Vector], Exact),
    stable("changes", K::Changes, &[Matrix], Exact),
    stable("clamp", K::Clamp, &[Vector, Scalar, Scalar], Exact),
    stable("clamp_max", K::ClampMax, &[Vector, Scalar], Exact),
    stable("clamp_min", K::ClampMin, &[Vector, Scalar], Exact),
    stable("cos", K::Cos, &[Vector], Exact),
    stable("cosh", K::Cosh, &[Vector], Exact),
    stable("count_over_time", K::CountOverTime, &[Matrix], Exact),
    stable("day_of_month", K::DayOfMonth, &[Vector], OptionalLast),
    stable("day_of_week", K::DayOfWeek, &[Vector], OptionalLast),
    stable("day_of_year", K::DayOfYear, &[Vector], OptionalLast),
    stable("days_in_month", K::DaysInMonth, &[Vector], OptionalLast),
    stable("deg", K::Deg, &[Vector], Exact),
    stable("delta", K::Delta, &[Matrix], Exact),
    stable("deriv", K::Deriv, &[Matrix], Exact),
    gated("double_exponential_smoothing", K::DoubleExponentialSmoothing, &[Matrix, Scalar, Scalar], Exact),
    scalar(gated("end", K::End, &[], Exact)),
    stable("exp", K::Exp, &[Vector], Exact),
    stable("first_over_time", K::FirstOverTime, &[Matrix], Exact),
    stable("floor", K::Floor, &[Vector], Exact),
    stable("histogram_avg", K::HistogramAvg, &[Vector], Exact),
    stable("histogram_count", K::HistogramCount, &[Vector], Exact),
    stable("histogram_fraction", K::HistogramFraction, &[Scalar, Scalar, Vector], Exact),
    stable("histogram_quantile", K::HistogramQuantile, &[Scalar, Vector], Exact),
    gated("histogram_quantiles", K::HistogramQuantiles, &[Vector, Text, Scalar, Scalar], Repeated(9)),
    stable("histogram_stddev", K::HistogramStddev, &[Vector], Exact),
    stable("histogram_stdvar", K::HistogramStdvar, &[Vector], Exact),
    stable("histogram_sum", K::HistogramSum, &[Vector], Exact),
    stable("hour", K::Hour, &[Vector], OptionalLast),
    stable("idelta", K::Idelta, &[Matrix], Exact),
    stable("increase", K::Increase, &[Matrix], Exact),
    gated("info", K::Info, &[Vector, Vector], OptionalLast),
    stable("irate", K::Irate, &[Matrix], Exact),
    stable("label_join", K::LabelJoin, &[Vector, Text, Text, Text], Unlimited),
    stable("label_replace", K::LabelReplace, &[Vector, Text, Text, Text, Text], Exact),
    stable("last_over_time", K::LastOverTime, &[Matrix], Exact),
    stable("ln", K::Ln, &[Vector], Exact),
    stable("log10", K::Log10, &[Vector], Exact),
    stable("log2", K::Log2, &[Vector], Exact),
    gated("mad_over_time", K::MadOverTime, &[Matrix], Exact),
    scalar(gated("max_of", K::MaxOf, &[Scalar, Scalar], Exact)),
    stable("max_over_time", K::MaxOverTime, &[Matrix], Exact),
    scalar(gated("min_of", K::MinOf, &[Scalar, Scalar], Exact)),
    stable("min_over_time", K::MinOverTime, &[Matrix], Exact),
    stable("minute", K::Minute, &[Vector], OptionalLast),
    stable("month", K::Month, &[Vector], OptionalLast),
    scalar(stable("pi", K::Pi, &[], Exact)),
    stable("predict_linear", K::PredictLinear, &[Matrix, Scalar], Exact),
    stable("present_over_time", K::PresentOverTime, &[Matrix], Exact),
    stable("quantile_over_time", K::QuantileOverTime, &[Scalar, Matrix], Exact),
    stable("rad", K::Rad, &[Vector], Exact),
    scalar(gated("range", K::Range, &[], Exact)),
    stable("rate", K::Rate, &[Matrix], Exact),
    stable("resets", K::Resets, &[Matrix], Exact),
    stable("round", K::Round, &[Vector, Scalar], OptionalLast),
    scalar(stable("scalar", K::Scalar, &[Vector], Exact)),
    stable("sgn", K::Sgn, &[Vector], Exact),
    stable("sin", K::Sin, &[Vector], Exact),
    stable("sinh", K::Sinh, &[Vector], Exact),
    stable("sort", K::Sort, &[Vector], Exact),
    gated("sort_by_label", K::SortByLabel, &[Vector, Text], Unlimited),
    gated("sort_by_label_desc", K::SortByLabelDesc, &[Vector, Text], Unlimited),
    stable("sort_desc", K::SortDesc, &[Vector], Exact),
    stable("sqrt", K::Sqrt, &[Vector], Exact),
    scalar(gated("start", K::Start, &[], Exact)),
    gated("start_timestamp", K::StartTimestamp, &[Vector], Exact),
    stable("stddev_over_time", K::StddevOverTime, &[Matrix], Exact),
    stable("stdvar_over_time", K::StdvarOverTime, &[Matrix], Exact),
    scalar(gated("step", K::Step, &[], Exact)),
    stable("sum_over_time", K::SumOverTime, &[Matrix], Exact),
    stable("tan", K::Tan, &[Vector], Exact),
    stable("tanh", K::Tanh, &[Vector], Exact),
    scalar(stable("time", K::Time, &[], Exact)),
    stable("timestamp", K::Timestamp, &[Vector], Exact),
    gated("ts_of_first_over_time", K::TsOfFirstOverTime, &[Matrix], Exact),
    gated("ts_of_last_over_time", K::TsOfLastOverTime, &[Matrix], Exact),
    gated("ts_of_max_over_time", K::TsOfMaxOverTime, &[Matrix], Exact),
    gated("ts_of_min_over_time", K::TsOfMinOverTime, &[Matrix], Exact),
    stable("vector", K::Vector, &[Scalar], Exact),
    stable("year", K::Year, &[Vector], OptionalLast),
];
