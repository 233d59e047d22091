//! What records say of the two matters that detections live on: how a request ended, and who called.

/// Which events say how they ended and who called. Requests only: a notification has no caller, a challenge none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Events that have a status.
    pub with_status: u64,
    /// Requests without a status whose text does not say either how they ended.
    pub without_status: u64,
    /// Events that name their caller.
    pub with_caller: u64,
    /// Requests other than challenges whose caller nothing names.
    pub without_caller: u64,
}

impl Completeness {
    /// Adds what another part of the input says.
    pub fn add(&mut self, other: Completeness) {
        self.with_status += other.with_status;
        self.without_status += other.without_status;
        self.with_caller += other.with_caller;
        self.without_caller += other.without_caller;
    }
}
