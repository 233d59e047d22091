//! One call to a vault before it is written as a record, and the sink that collects calls of many actors.

use super::client::ClientId;
use super::company::{Address, CallerId, Company, Micros, ObjectId, VaultId};
use super::detail::Detail;
use super::operation::Op;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The vault itself, or a page of a listing of it (number of the page, from 0).
    Page(u8),
    /// An object of the vault.
    Object(ObjectId),
    /// A name that no object has: an index into [`names::GUESSES`](super::names::GUESSES).
    Guess(u16),
}

/// A request: an operation on a subject in a vault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) vault: VaultId,
    pub(super) op: Op,
    pub(super) subject: Subject,
    /// What it changes, where the record tells.
    pub(super) detail: Detail,
}

impl Ask {
    /// An operation on an object, in the vault that holds it.
    pub(super) fn object(company: &Company, op: Op, object: ObjectId) -> Self {
        Self { vault: company.object(object).vault, op, subject: Subject::Object(object), detail: Detail::None }
    }

    /// An operation on the vault itself, or a listing's first page.
    pub(super) fn vault(vault: VaultId, op: Op) -> Self {
        Self { vault, op, subject: Subject::Page(0), detail: Detail::None }
    }

    /// An operation on a name that is guessed.
    pub(super) fn guess(vault: VaultId, op: Op, name: usize) -> Self {
        Self { vault, op, subject: Subject::Guess(name as u16), detail: Detail::None }
    }

    /// The same request with what it changes.
    pub(super) fn with(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No role and no access policy, whichever the vault uses.
    Permission,
    /// The firewall.
    Network,
    /// The object is disabled.
    Disabled,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Fine,
    /// A change that has begun: the Activity log tells of begin and end.
    Begun,
    /// 401: no token yet.
    Challenge,
    Denied(Refusal),
    NotFound,
    Throttled,
    /// 500 or 503.
    ServerError(u16),
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) at: Micros,
    /// Breaks ties of time: actor, then order of its calls.
    pub(super) actor: u32,
    pub(super) order: u32,
    pub(super) caller: CallerId,
    pub(super) client: ClientId,
    pub(super) address: Address,
    /// What was asked; with [`Ending::Challenge`] what was meant, and the record says `Authentication`.
    pub(super) ask: Ask,
    pub(super) ending: Ending,
    pub(super) millis: u32,
    pub(super) correlation: (u64, u64),
    /// Minor version of TLS 1.
    pub(super) tls: u8,
    /// When the caller's token was issued, seconds since the epoch.
    pub(super) issued: i64,
    /// Grows with the requested number of records.
    pub(super) elastic: bool,
    /// Number of the attack that it belongs to, from 1; 0 for ordinary life.
    pub(super) script: u16,
}

/// Calls of all actors, waiting for their hour.
#[derive(Debug, Default)]
pub(super) struct Sink {
    calls: Vec<Call>,
}

impl Sink {
    pub(super) fn push(&mut self, call: Call) {
        self.calls.push(call);
    }

    /// The newest two calls are begin and end of one change: they share a correlation id.
    pub(super) fn pair(&mut self) {
        if let [.., begin, end] = self.calls.as_mut_slice() {
            end.correlation = begin.correlation;
        }
    }

    /// Takes what happened before `until`, in order of time; later calls stay.
    pub(super) fn take_until(&mut self, until: Micros) -> Vec<Call> {
        self.calls.sort_unstable_by_key(|c| (c.at, c.actor, c.order));
        let cut = self.calls.partition_point(|c| c.at < until);
        let later = self.calls.split_off(cut);
        std::mem::replace(&mut self.calls, later)
    }
}

/// Where actors act: the company, which they read, and the sink, which takes their calls.
pub(super) struct Stage<'a> {
    pub(super) company: &'a Company,
    pub(super) sink: &'a mut Sink,
}
