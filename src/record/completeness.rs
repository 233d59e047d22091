//! Which events say how they ended and who called: detections are blind to those that do not.

use super::fields::{Fields, N};
use super::operation;

/// Counts of events. Only requests can lack something: a notification has no caller, a challenge none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Events that have a status, or whose text says how they ended.
    pub with_status: u64,
    /// Requests that have neither.
    pub without_status: u64,
    /// Events that name their caller.
    pub with_caller: u64,
    /// Requests whose caller nothing names, other than challenges and refused tokens.
    pub without_caller: u64,
}

/// What the count of one event needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub category: Option<&'a str>,
    pub operation: &'a str,
    pub outcome: &'a str,
    /// Whether anything says who called.
    pub identified: bool,
}

impl Completeness {
    /// Adds what another part of the input says.
    pub fn add(&mut self, other: Completeness) {
        self.with_status += other.with_status;
        self.without_status += other.without_status;
        self.with_caller += other.with_caller;
        self.without_caller += other.without_caller;
    }

    /// Of one event.
    pub(super) fn of(f: &Fields<'_>, event: Counted<'_>) -> Completeness {
        let (status, caller) = (f.number(N::Status).is_some() || event.outcome != "unknown", event.identified);
        let mut said =
            Completeness { with_status: u64::from(status), with_caller: u64::from(caller), ..Completeness::default() };
        if !(status && caller) && event.is_request() {
            said.without_status = u64::from(!status);
            // A 401 is the answer to a call without a token, or with one that was refused: it cannot name a caller.
            let expected = event.outcome != "challenge" && f.number(N::Status) != Some(401);
            said.without_caller = u64::from(!caller && expected);
        }
        said
    }
}

impl Counted<'_> {
    fn is_request(&self) -> bool {
        let audited = self.category.is_none_or(|category| category.eq_ignore_ascii_case("AuditEvent"));
        audited && !self.operation.contains('/') && !matches!(operation::class(self.operation), "notify" | "policy")
    }
}
