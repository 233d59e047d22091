//! The private keys of a vault's certificates, read through the secrets of their names by a caller that never did.

use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, reach_of, workload_of};

pub(super) struct CertificateKeyRead;

impl Attack for CertificateKeyRead {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 14 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        let web = workload_of(company, caller).is_some_and(|w| w.role == Role::Web);
        if web { 0 } else { reach_of(company, caller).len() }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let certificates = company.vault(scene.fullest()).certificates.clone();
        let whole = scene.over(4 * MINUTE, 10 * HOUR);
        scene.read(&certificates, whole);
    }
}
