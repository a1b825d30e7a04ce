//! The engine as its users see it.
//!
//! [`scripts`] evaluates scripts of cases, ours and Prometheus's, and [`coverage`] tells what ours leave out; [`limits`]
//! what bounds a query and what it reports, [`native`] how native histograms fit in. [`random`] asks whatever the grammar
//! allows, [`pushed`] the same of data in several places. [`isolation`] keeps queries apart, and [`wanted`] is what they
//! ask of the data. [`promqltest`] is the scripts' runner, [`data`] what all of them read from.

mod coverage;
mod data;
mod isolation;
mod limits;
mod native;
mod promqltest;
mod pushed;
mod random;
mod scripts;
mod wanted;
