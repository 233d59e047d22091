//! A caller at work: holds its places (instances, pods, desks) and their tokens, asks without a token first where
//! its client does so, backs off when throttled and tries again after a server error.

use super::call::{Ask, Call, Ending, Refusal, Stage, Subject};
use super::client::{ClientId, client_for, client_of};
use super::company::{Address, CallerId, Company, Micros, NOBODY, VaultId};
use super::config::By;
use super::dice::Dice;
use super::{MILLISECOND, SECOND};

/// Share of calls that Key Vault answers with 500 or 503.
const SERVER_ERRORS: f64 = 0.0003;

/// A place from which a caller works, with the tokens it holds.
#[derive(Debug)]
struct Seat {
    address: Address,
    /// Vault, moment of issue and of expiry.
    tokens: Vec<(VaultId, Micros, Micros)>,
}

/// A caller at work.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) caller: CallerId,
    pub(super) client: ClientId,
    pub(super) dice: Dice,
    pub(super) elastic: bool,
    pub(super) script: u16,
    /// Minor version of TLS 1 that it speaks.
    pub(super) tls: u8,
    actor: u32,
    order: u32,
    seats: Vec<Seat>,
    lifetime: Micros,
}

impl Agent {
    /// An agent of this caller, with its client and its addresses. `what` and `index` name its dice.
    pub(super) fn new(company: &Company, caller: CallerId, actor: u32, what: &str) -> Self {
        let who = company.caller(caller);
        let lifetime = if who.by == By::ManagedIdentity { 86_000 * SECOND } else { 4_200 * SECOND };
        let mut agent = Self {
            caller,
            client: who.client,
            dice: Dice::new(company.seed, what, caller as usize),
            elastic: false,
            script: 0,
            tls: 2,
            actor,
            order: 0,
            seats: Vec::new(),
            lifetime,
        };
        agent.sit(&who.addresses);
        agent
    }

    /// Begins anew at these addresses, without any token.
    pub(super) fn sit(&mut self, addresses: &[Address]) {
        self.seats = addresses.iter().map(|a| Seat { address: *a, tokens: Vec::new() }).collect();
    }

    /// Forgets all tokens: a new process.
    pub(super) fn restart(&mut self) {
        for seat in &mut self.seats {
            seat.tokens.clear();
        }
    }

    /// The address of the first place.
    pub(super) fn first_address(&self) -> Address {
        self.seats[0].address
    }

    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    /// Calls and returns when the answer is there. Whatever ordinary life brings (pressure on the vault, a server
    /// error, an object that is gone) happens to it, retries included.
    pub(super) fn call(&mut self, stage: &mut Stage<'_>, (at, seat): (Micros, usize), ask: Ask) -> Micros {
        let mut at = at;
        for backoff in [1, 2, 4] {
            let keys = ask.op.facts().collection == "keys";
            let share = if keys { stage.company.pressure(ask.vault, at) } else { 0.0 };
            let ending = if share > 0.0 && self.dice.chance(share) {
                Ending::Throttled
            } else if self.dice.chance(SERVER_ERRORS) {
                Ending::ServerError(if self.dice.chance(0.5) { 500 } else { 503 })
            } else {
                break;
            };
            at = self.attempt(stage, (at, seat), ask, ending);
            at += (self.dice.between(0.8, 1.2) * (backoff * SECOND) as f64) as Micros;
        }
        let gone = matches!(ask.subject, Subject::Object(o) if stage.company.object(o).deleted <= at);
        self.attempt(stage, (at, seat), ask, if gone { Ending::NotFound } else { Ending::Fine })
    }

    /// Calls once, with this ending, after a challenge where no token is at hand. Returns when the answer is there.
    pub(super) fn attempt(
        &mut self,
        stage: &mut Stage<'_>,
        place: (Micros, usize),
        ask: Ask,
        ending: Ending,
    ) -> Micros {
        let (mut at, seat) = (place.0, place.1 % self.seats.len());
        if ask.op.facts().names.is_control() {
            // Resource Manager's token, which is another one and is never asked for by a challenge.
            return self.write(stage, (at, seat), (self.caller, at), ask, ending);
        }
        let held = self.seats[seat].tokens.iter().find(|t| t.0 == ask.vault && at < t.2).map(|t| t.1);
        let issued = held.unwrap_or_else(|| {
            at = self.obtain(stage, (at, seat), ask);
            at
        });
        self.write(stage, (at, seat), (self.caller, issued), ask, ending)
    }

    /// The challenge (where the client asks first) and a fresh token.
    fn obtain(&mut self, stage: &mut Stage<'_>, (at, seat): (Micros, usize), ask: Ask) -> Micros {
        let mut at = at;
        if client_of(self.client).challenged {
            at = self.challenge(stage, (at, seat), ask);
            at += (self.dice.log_normal(60.0, 0.6) * MILLISECOND as f64) as Micros;
        }
        let tokens = &mut self.seats[seat].tokens;
        tokens.retain(|t| t.0 != ask.vault);
        tokens.push((ask.vault, at, at + self.lifetime));
        at
    }

    /// A request without a token: 401.
    pub(super) fn challenge(&mut self, stage: &mut Stage<'_>, (at, seat): (Micros, usize), ask: Ask) -> Micros {
        self.write(stage, (at, seat % self.seats.len()), (NOBODY, 0), ask, Ending::Challenge)
    }

    /// A notification that Key Vault sends by itself: nobody called.
    pub(super) fn notify(&mut self, stage: &mut Stage<'_>, at: Micros, ask: Ask) {
        self.write(stage, (at, 0), (NOBODY, 0), ask, Ending::Fine);
    }

    /// A change through Resource Manager that the Activity log tells of: its begin and its end.
    pub(super) fn control(&mut self, stage: &mut Stage<'_>, at: Micros, ask: Ask) -> Micros {
        let begun = self.attempt(stage, (at, 0), ask, Ending::Begun);
        let done = self.attempt(stage, (begun, 0), ask, Ending::Fine);
        stage.sink.pair();
        done
    }

    /// A refusal for want of permission.
    pub(super) fn refused(&mut self, stage: &mut Stage<'_>, place: (Micros, usize), ask: Ask) -> Micros {
        self.attempt(stage, place, ask, Ending::Denied(Refusal::Permission))
    }

    fn write(
        &mut self,
        stage: &mut Stage<'_>,
        (at, seat): (Micros, usize),
        (caller, issued): (CallerId, Micros),
        ask: Ask,
        ending: Ending,
    ) -> Micros {
        let median = match ending {
            Ending::Fine | Ending::NotFound => ask.op.facts().millis,
            Ending::ServerError(_) => 900.0,
            _ => 2.5,
        };
        let millis = self.dice.log_normal(median, 0.55).clamp(1.0, 20_000.0) as u32;
        self.order += 1;
        stage.sink.push(Call {
            at,
            actor: self.actor,
            order: self.order,
            caller,
            client: client_for(self.client, ask.op),
            address: self.seats[seat].address,
            ask,
            ending,
            millis,
            correlation: (self.dice.bits(), self.dice.bits()),
            tls: self.tls,
            issued: issued / SECOND,
            elastic: self.elastic,
            script: self.script,
        });
        at + i64::from(millis) * MILLISECOND
    }

    /// Lists a collection of `count` objects, 25 a page.
    pub(super) fn list(&mut self, stage: &mut Stage<'_>, place: (Micros, usize), ask: Ask, count: usize) -> Micros {
        let mut at = place.0;
        for page in 0..count.div_ceil(25).max(1) {
            at = self.call(stage, (at, place.1), Ask { subject: Subject::Page(page as u8), ..ask });
            at += self.pause(0.1, 0.4);
        }
        at
    }

    /// A wait between so and so many seconds.
    pub(super) fn pause(&mut self, low: f64, high: f64) -> Micros {
        (self.dice.between(low, high) * SECOND as f64) as Micros
    }
}
