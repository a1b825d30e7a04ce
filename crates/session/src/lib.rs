//! How a role takes part in its cluster: join, heartbeat, watch, route appends.
