//! A new release builds its client anew for each call, so that a 401 challenge precedes each.

use super::super::HOUR;
use super::super::call::Ask;
use super::super::client;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct ClientPerCall;

impl Attack for ClientPerCall {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 7 * HOUR,
            Form::Slow => 20 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, usual) = (scene.company, scene.usual());
        scene.agent.client = client::NET_SECRETS;
        let whole = scene.over(6 * HOUR, 18 * HOUR);
        let pace = whole as f64 / (scene.daily() * 0.7).clamp(400.0, 20_000.0);
        let (mut at, end) = (scene.at, scene.at + whole);
        let (agent, mut stage) = scene.agent();
        while at < end {
            agent.restart();
            let (object, seat) = (agent.dice.pick(&usual), agent.dice.below(agent.seats()));
            agent.call(&mut stage, (at, seat), Ask::object(company, Op::SecretGet, object));
            at += (pace * agent.dice.between(0.5, 1.5)) as Micros;
        }
    }
}
