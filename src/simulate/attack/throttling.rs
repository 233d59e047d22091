//! A job that misbehaves floods a vault's key operations. A premium vault serves 250 operations with an RSA 4096 key
//! in ten seconds; the rest is answered 429, to the job and to whoever else needs that vault's keys.

use super::super::agent::Agent;
use super::super::call::{Ask, Ending, Stage};
use super::super::company::{CallerId, Company, Micros, ObjectId, Pressure, Role, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene, in_role, workload_of};

pub(super) struct Throttling;

/// Operations that the vault serves in a window of ten seconds.
const LIMIT: usize = 250;

/// Length of one burst of the flood.
const BURST: Micros = 11 * SECOND;

impl Attack for Throttling {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 40 * MINUTE,
            Form::Slow => 6 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Batch)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = workload_of(company, scene.caller).map_or_else(|| scene.fullest(), |w| w.vault);
        let key = company.vault(vault).keys[0];
        let budget = (scene.target * 0.1).clamp(1_500.0, 12_000.0);
        // Fast floods hard in a row; slow stays just above the limit, every few minutes.
        let (rate, share, whole) = match scene.form {
            Form::Fast => (42.0, 1.0, 24 * MINUTE),
            Form::Slow => (30.0, 0.8, 5 * HOUR),
        };
        let bursts = ((budget * share / (rate * 11.0)) as i64).clamp(3, 40);
        let mut others = bystanders(scene, vault);
        for burst in 0..bursts {
            let at = scene.at + burst * (whole / bursts) + scene.dice().range(0, 5) as i64 * SECOND;
            flood(scene, key, at, rate);
            scene.pressures.push(Pressure { vault, from: at + 5 * SECOND, to: at + BURST, share: 0.5 });
            let stage = &mut Stage { company, sink: &mut scene.sink };
            for (other, ask) in &mut others {
                suffer(other, stage, *ask, at + 6 * SECOND);
            }
        }
    }
}

/// One burst: what fits into the limit is served, the rest is turned away, and the job does not back off.
fn flood(scene: &mut Scene<'_>, key: ObjectId, from: Micros, rate: f64) {
    let company = scene.company;
    let (agent, mut stage) = scene.agent();
    let (mut at, mut window, mut served) = (from, from, 0);
    let mut calls = 0;
    while at < from + BURST {
        if at - window >= 10 * SECOND {
            (window, served) = (at, 0);
        }
        let ending = if served < LIMIT { Ending::Fine } else { Ending::Throttled };
        served += 1;
        let seat = calls % agent.seats();
        calls += 1;
        agent.attempt(&mut stage, (at, seat), Ask::object(company, Op::KeyDecrypt, key), ending);
        at += (agent.dice.between(0.6, 1.4) * SECOND as f64 / rate) as Micros;
    }
}

/// Who else needs this vault's keys meanwhile: its signing service, and somebody who looks what is wrong.
fn bystanders(scene: &mut Scene<'_>, vault: VaultId) -> Vec<(Agent, Ask)> {
    let (company, attacker) = (scene.company, scene.caller);
    let keys = &company.vault(vault).keys;
    let here = |c: &CallerId| *c != attacker && company.caller(*c).reach.contains(&vault);
    let signers = company.workloads.iter().map(|w| w.caller).filter(here);
    let people = company.people.iter().filter(|p| p.holiday.is_none()).map(|p| p.caller).filter(here);
    let asks = [(Op::KeySign, 1), (Op::KeyGet, 0), (Op::KeyGet, 1)];
    let who: Vec<CallerId> = signers.take(1).chain(people).take(asks.len()).collect();
    let with_ask = |(caller, (op, key)): (CallerId, (Op, usize))| {
        (scene.bystander(caller), Ask::object(company, op, keys[key % keys.len()]))
    };
    who.into_iter().zip(asks).map(with_ask).collect()
}

/// A call that is turned away once or twice and then passes.
fn suffer(other: &mut Agent, stage: &mut Stage<'_>, ask: Ask, at: Micros) {
    if !other.dice.chance(0.7) {
        return;
    }
    let mut at = at + other.pause(0.0, 3.0);
    for backoff in 1..=other.dice.range(1, 2) {
        at = other.attempt(stage, (at, 0), ask, Ending::Throttled);
        at += other.pause(0.9 * backoff as f64, 1.2 * backoff as f64);
    }
    other.attempt(stage, (at.max(at + 4 * SECOND), 0), ask, Ending::Fine);
}
