//! A trusted service passes the firewall with a token that another tenant issued.

use super::super::client;
use super::super::company::{CallerId, Company, Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::dice::Dice;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, recruit};

pub(super) struct ForeignTrustedService;

impl Attack for ForeignTrustedService {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 9 * HOUR,
        }
    }

    fn enlist(&self, company: &mut Company, _: By, dice: &mut Dice) -> Option<CallerId> {
        let prod: Vec<VaultId> = company.prod();
        let vault = dice.pick(&prod);
        let caller = recruit(company, By::Application, "web-front", vec![vault], dice);
        let tenant = dice.uuid();
        let known = &mut company.callers[caller as usize];
        (known.tenant, known.client, known.full_claims) = (tenant, client::PLATFORM, true);
        Some(caller)
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (all, count) = (scene.reachable(), scene.dice().range(3, 6));
        let objects = scene.dice().sample(&all, count);
        let whole = scene.over(5 * MINUTE, 7 * HOUR);
        scene.read(&objects, whole);
    }
}
