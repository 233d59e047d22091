//! A stolen identity lists the vaults that it can reach and reads 30 to 80 of their secrets: within 20 to 40 minutes,
//! or paced over a day and a half.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, reach_of};

pub(super) struct MassSecretRead;

impl Attack for MassSecretRead {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 38 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let mut objects = scene.reachable();
        scene.dice().shuffle(&mut objects);
        objects.truncate(scene.dice().range(45, 80));
        let whole = match scene.form {
            Form::Fast => scene.dice().between(20.0, 38.0) * MINUTE as f64,
            Form::Slow => scene.dice().between(28.0, 36.0) * HOUR as f64,
        };
        // It goes through one vault after the other.
        objects.sort_by_key(|o| company.object(*o).vault);
        let pace = whole / objects.len() as f64;
        let (mut at, mut listed) = (scene.at, None);
        let (agent, mut stage) = scene.agent();
        for object in objects {
            let vault = company.object(object).vault;
            if listed != Some(vault) {
                let count = company.vault(vault).secrets.len();
                at = agent.list(&mut stage, (at, 0), Ask::vault(vault, Op::SecretList), count);
                listed = Some(vault);
            }
            at = agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, object));
            at += (pace * agent.dice.between(0.6, 1.4)) as Micros;
        }
    }
}
