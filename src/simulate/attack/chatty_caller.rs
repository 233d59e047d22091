//! A new release of a service lost its cache: it reads the same version of one secret all the time, for hours, until
//! it is rolled back. Nobody's theft, but somebody's bill.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, SECOND};
use super::{Attack, Habit, OFFICE, Scene, in_role, workload_of};

pub(super) struct ChattyCaller;

impl Attack for ChattyCaller {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 5 * HOUR,
            Form::Slow => 14 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Web)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let reachable = scene.reachable();
        let usual = workload_of(company, scene.caller).map(|w| w.objects[0]);
        // A signing service holds keys; what it rereads is a secret all the same.
        let secret = usual.filter(|o| reachable.contains(o)).or(reachable.first().copied()).unwrap_or(0);
        let (share, hours) = match scene.form {
            Form::Fast => (0.1, scene.dice().between(3.2, 4.5)),
            Form::Slow => (0.06, scene.dice().between(10.0, 13.0)),
        };
        let calls = (scene.target * share).clamp(900.0, 50_000.0);
        let gap = (hours * 3600.0 / calls).max(0.25) * SECOND as f64;
        let (mut at, end) = (scene.at, scene.at + (hours * HOUR as f64) as Micros);
        let (agent, mut stage) = scene.agent();
        while at < end {
            let seat = agent.dice.below(agent.seats());
            agent.call(&mut stage, (at, seat), Ask::object(company, Op::SecretGet, secret));
            at += (gap * agent.dice.between(0.5, 1.5)) as Micros;
        }
    }
}
