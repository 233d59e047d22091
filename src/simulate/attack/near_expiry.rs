//! Key Vault announces that a certificate is near its expiry, once or day after day.

use super::super::call::Ask;
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{DAY, HOUR, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct NearExpiry;

impl Attack for NearExpiry {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 3 * DAY,
        }
    }

    fn nobody(&self) -> bool {
        true
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let certificates = company.vault(scene.fullest()).certificates.clone();
        let certificate = scene.dice().pick(&certificates);
        let (days, at) = (scene.over(1, 3), scene.at);
        let (agent, mut stage) = scene.agent();
        for day in 0..days {
            let due = Detail::Expires(at / SECOND + 3 * 86_400);
            agent.notify(
                &mut stage,
                at + day * 20 * HOUR,
                Ask::object(company, Op::CertificateNearExpiry, certificate).with(due),
            );
        }
    }
}
