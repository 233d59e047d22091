//! The billed operations of a caller step up and stay up, or grow day over day. Nobody steals; somebody pays.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{DAY, HOUR};
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct VolumeGrowth;

impl Attack for VolumeGrowth {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 26 * HOUR,
            Form::Slow => 3 * DAY + HOUR,
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
        let days = scene.over(1, 3);
        let mut at = scene.at;
        let base = (scene.daily() * 2.0).clamp(800.0, 40_000.0);
        let form = scene.form;
        let (agent, mut stage) = scene.agent();
        for day in 1..=days {
            let count = if form == Form::Fast { base } else { base * 0.6 * day as f64 };
            let (pace, end) = (DAY as f64 / count, at + DAY);
            while at < end {
                let (object, seat) = (agent.dice.pick(&usual), agent.dice.below(agent.seats()));
                agent.call(&mut stage, (at, seat), Ask::object(company, Op::SecretGet, object));
                at += (pace * agent.dice.between(0.5, 1.5)) as Micros;
            }
        }
    }
}
