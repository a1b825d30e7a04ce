//! Leases: rights that one member at a time has, such as compaction or a rule group.
//!
//! A lease lives as long as the membership it was taken under: renewing memberships renews all their leases, so the cost
//! of renewal grows with nodes and not with leases. Its epoch is named at each commit made under it.

use model::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

/// One right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who has it.
    pub holder: NodeId,
    /// Larger than that of every earlier holder.
    pub epoch: Epoch,
}
