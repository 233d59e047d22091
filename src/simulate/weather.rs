//! What befalls a vault whoever calls: silence, failures of the service, slowness, an object that is disabled.
//! Laid over the calls of an hour, so that nobody's dice roll differently for it.

use super::call::{Call, Ending, Refusal, Subject};
use super::company::{Company, Condition, Effect};
use super::operation::Names;

/// Lets the hour's calls suffer the company's conditions.
pub(super) fn apply(company: &Company, calls: &mut Vec<Call>) {
    if company.conditions.is_empty() {
        return;
    }
    let holds = |c: &&Condition, call: &Call| c.vault == call.ask.vault && c.from <= call.at && call.at < c.to;
    calls.retain_mut(|call| {
        let here: Vec<&Condition> = company.conditions.iter().filter(|c| holds(c, call)).collect();
        here.iter().all(|condition| suffer(condition, call))
    });
}

/// Whether the call is still logged.
fn suffer(condition: &Condition, call: &mut Call) -> bool {
    let names = call.ask.op.facts().names;
    let fine = call.ending == Ending::Fine && !call.ask.op.notifies() && names != Names::Activity;
    // The call's own bits decide, and not its place in the hour.
    let chance = (call.correlation.0 >> 11) as f64 / (1u64 << 53) as f64;
    match condition.effect {
        // An attack's own records are what its label counts.
        Effect::Silence => return names == Names::Activity || call.script > 0,
        Effect::Errors(share) if fine && call.script == 0 && chance < share => {
            call.ending = Ending::ServerError(if call.correlation.1.is_multiple_of(2) { 500 } else { 503 });
            call.script = condition.script;
        }
        Effect::Slow(factor) if fine && call.script == 0 => {
            call.millis = (f64::from(call.millis) * factor * (0.5 + chance)) as u32;
            call.script = condition.script;
        }
        Effect::Disabled(object) if fine && call.script == 0 && call.ask.subject == Subject::Object(object) => {
            call.ending = Ending::Denied(Refusal::Disabled);
        }
        _ => {}
    }
    true
}
