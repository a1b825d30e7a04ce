//! The states of aggregations that keep one a group and step.

use super::super::kahan::{Kahan, Mean};

/// What one group has seen at one step.
pub(super) trait State: Copy + Send {
    fn first(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn finish(self) -> f64;
}

impl State for Kahan {
    fn first(value: f64) -> Self {
        Self::new(value)
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn finish(self) -> f64 {
        self.value()
    }
}

impl State for Mean {
    fn first(value: f64) -> Self {
        let mut mean = Self::default();
        mean.add(value);
        mean
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn finish(self) -> f64 {
        self.value()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Min(f64);

impl State for Min {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Max(f64);

impl State for Max {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Count(u64);

impl State for Count {
    fn first(_: f64) -> Self {
        Self(1)
    }
    fn add(&mut self, _: f64) {
        self.0 += 1;
    }
    fn finish(self) -> f64 {
        self.0 as f64
    }
}

#[derive(Clone, Copy)]
pub(super) struct Group;

impl State for Group {
    fn first(_: f64) -> Self {
        Self
    }
    fn add(&mut self, _: f64) {}
    fn finish(self) -> f64 {
        1.0
    }
}

/// Population variance, as Welford has it.
#[derive(Clone, Copy)]
pub(super) struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl State for Variance {
    fn first(value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
    fn finish(self) -> f64 {
        self.squares / self.count
    }
}

#[derive(Clone, Copy)]
pub(super) struct Deviation(Variance);

impl State for Deviation {
    fn first(value: f64) -> Self {
        Self(Variance::first(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn finish(self) -> f64 {
        self.0.finish().sqrt()
    }
}
