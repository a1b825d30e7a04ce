//! How a process takes part in its cluster: it joins, keeps its lease, watches the control state, and appends to shards.
//!
//! Life cycle:
//! 1. [`Session::new`] knows the seeds (ingesters' addresses) and nothing else.
//! 2. [`Session::run`] joins through the control leader, renews the membership, and follows the stream of commands,
//!    so that [`Session::state`] is a complete copy of the control state that lags by one network trip.
//! 3. [`Session::membership`] is `None` as soon as the lease may have lapsed: its holder then stops acting, before the
//!    cluster gives its rights to another.
//! 4. At shutdown it gives the membership back; a process that is killed leaves it to lapse by itself.
//!
//! [`Writer`] routes samples to the leaders of their shards. Not here: what the roles do, and any listening socket.

mod control_client;
mod error;
mod follow;
mod handle;
mod known;
mod lane;
mod membership;
mod pins;
mod push;
mod writer;

pub use control_client::ControlClient;
pub use error::SessionError;
pub use handle::{HandleExemplar, HandleSample, SeriesHandle, WideValue};
pub use membership::{Membership, Session, SessionConfig};
pub use pins::Pin;
pub use writer::{Writer, WriterConfig, WriterMetrics};
