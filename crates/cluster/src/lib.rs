//! What all roles agree on, as one pure state machine.
