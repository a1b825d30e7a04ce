//! The states of aggregations that keep one a group and step.

use super::super::kahan::{Kahan, Mean};

/// What one group has seen at one step.
pub(in super::super) trait State: Copy + Send {
    /// How many floats it is when it travels.
    const CELLS: usize;

    fn first(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn finish(self) -> f64;

    /// Fills [`State::CELLS`] floats, the first of which is never [`super::super::vector::ABSENT`].
    fn ship(self, cells: &mut [f64]) {
        cells[0] = self.finish();
    }
    /// Reads what was shipped.
    fn unship(cells: &[f64]) -> Self {
        Self::first(cells[0])
    }
    /// Adds what another part of the group has seen.
    fn merge(&mut self, other: Self) {
        self.add(other.finish());
    }
}

impl State for Kahan {
    const CELLS: usize = 2;

    fn first(value: f64) -> Self {
        Self::new(value)
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn finish(self) -> f64 {
        self.value()
    }
    fn ship(self, cells: &mut [f64]) {
        cells.copy_from_slice(&self.parts());
    }
    fn unship(cells: &[f64]) -> Self {
        Self::from_parts([cells[0], cells[1]])
    }
    fn merge(&mut self, other: Self) {
        Self::merge(self, other);
    }
}

impl State for Mean {
    const CELLS: usize = 4;

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
    fn ship(self, cells: &mut [f64]) {
        cells.copy_from_slice(&self.parts());
    }
    fn unship(cells: &[f64]) -> Self {
        Self::from_parts([cells[0], cells[1], cells[2], cells[3]])
    }
    fn merge(&mut self, other: Self) {
        Self::merge(self, other);
    }
}

#[derive(Clone, Copy)]
pub(in super::super) struct Min(f64);

impl State for Min {
    const CELLS: usize = 1;

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
pub(in super::super) struct Max(f64);

impl State for Max {
    const CELLS: usize = 1;

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
pub(in super::super) struct Count(u64);

impl State for Count {
    const CELLS: usize = 1;

    fn first(_: f64) -> Self {
        Self(1)
    }
    fn add(&mut self, _: f64) {
        self.0 += 1;
    }
    fn finish(self) -> f64 {
        self.0 as f64
    }
    fn unship(cells: &[f64]) -> Self {
        Self(cells[0] as u64)
    }
    fn merge(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

#[derive(Clone, Copy)]
pub(in super::super) struct Group;

impl State for Group {
    const CELLS: usize = 1;

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
pub(in super::super) struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl State for Variance {
    const CELLS: usize = 3;

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
    fn ship(self, cells: &mut [f64]) {
        cells.copy_from_slice(&[self.count, self.mean, self.squares]);
    }
    fn unship(cells: &[f64]) -> Self {
        Self { count: cells[0], mean: cells[1], squares: cells[2] }
    }
    // Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances".
    fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.mean += delta * (other.count / count);
        self.count = count;
    }
}

#[derive(Clone, Copy)]
pub(in super::super) struct Deviation(Variance);

impl State for Deviation {
    const CELLS: usize = Variance::CELLS;

    fn first(value: f64) -> Self {
        Self(Variance::first(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn finish(self) -> f64 {
        self.0.finish().sqrt()
    }
    fn ship(self, cells: &mut [f64]) {
        self.0.ship(cells);
    }
    fn unship(cells: &[f64]) -> Self {
        Self(Variance::unship(cells))
    }
    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}
