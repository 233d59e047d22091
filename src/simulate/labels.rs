//! The truth beside the logs: which attacks are in them and where, and what looks odd on purpose and is none.
//! Identities are written as a decoder derives them: the object id in lower case, else the application id.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::attack::Planned;
use super::call::{Call, Ending, Subject};
use super::company::{CallerId, Company, Micros, Pipeline, VaultId, on_call_nights};
use super::config::{AttackKind, Config, Form, Origin};
use super::engine::Befallen;
use super::{DAY, HOUR, MINUTE};

/// What `labels.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Labels {
    /// The seed.
    pub seed: u64,
    /// All settings.
    pub config: Config,
    /// The attacks in order of time.
    pub attacks: Vec<AttackLabel>,
    /// What looks odd and is no attack.
    pub quiet: Vec<QuietLabel>,
    /// Lines written, repeats included.
    pub records: u64,
    /// Lines that repeat a record written before, as Azure's delivery does.
    pub repeats: u64,
    /// First and last moment that the simulation covers, RFC 3339.
    pub span: (String, String),
}

/// One attack.
#[derive(Debug, Clone, Serialize)]
pub struct AttackLabel {
    /// The detection that is made for it.
    pub kind: AttackKind,
    /// Name within these labels.
    pub id: String,
    /// Object id, else application id; null where no token was shown.
    pub principal_id: Option<String>,
    /// Directory name, user name, or name of the managed identity.
    pub principal_name: Option<String>,
    /// user, application, managed_identity or anonymous.
    pub principal_type: &'static str,
    /// Vaults it touched, in lower case.
    pub vaults: Vec<String>,
    /// Distinct objects and names that it asked for.
    pub objects: usize,
    /// Its first address; empty where Key Vault itself tells of it.
    pub caller_ip: String,
    /// Time of the first record, RFC 3339 in microseconds.
    pub first_record: String,
    /// Time of the last record.
    pub last_record: String,
    /// Its records: those that name the principal, or all where there is none.
    pub records: usize,
    /// The challenges (401, without an identity) that its requests drew besides.
    pub challenges: usize,
    /// Fast or slow.
    pub form: Form,
    /// Inside or outside.
    pub from: Origin,
    /// Identities that took part beside the principal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The bait that it touched, `vault/object`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bait: Vec<String>,
    /// Whether the address is meant to be on a list of the user's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

/// Something that looks odd and must stay quiet.
#[derive(Debug, Clone, Serialize)]
pub struct QuietLabel {
    /// What it is.
    pub kind: &'static str,
    /// Whose doing; null where it is everybody's.
    pub principal_id: Option<String>,
    /// Name of that identity.
    pub principal_name: Option<String>,
    /// Vaults concerned; empty where it is all.
    pub vaults: Vec<String>,
    /// Begin, RFC 3339.
    pub from: String,
    /// End.
    pub to: String,
    /// What happens, in a sentence.
    pub note: String,
}

pub(super) fn rfc3339(t: Micros) -> String {
    let time: Option<DateTime<Utc>> = DateTime::from_timestamp_micros(t);
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The identity that a decoder derives.
pub(super) fn principal_id(company: &Company, caller: CallerId) -> String {
    let caller = company.caller(caller);
    if caller.object_id.is_empty() { caller.app_id.clone() } else { caller.object_id.clone() }
}

pub(super) fn attack(company: &Company, number: usize, planned: &Planned, befallen: Option<&Befallen>) -> AttackLabel {
    // Key Vault's notifications name no caller.
    let tells = |c: &&Call| planned.caller.is_none() || !c.ask.op.notifies();
    let scripted = planned.calls.iter().filter(|c| c.script > 0).filter(tells);
    let (challenges, own): (Vec<&Call>, Vec<&Call>) =
        scripted.partition(|c| planned.caller.is_some() && c.ending == Ending::Challenge);
    let conditions = planned.conditions.iter();
    let vaults: BTreeSet<VaultId> = own.iter().map(|c| c.ask.vault).chain(conditions.map(|c| c.vault)).collect();
    let named = own.iter().filter(|c| !matches!(c.ask.subject, Subject::Page(_)));
    let objects: BTreeSet<(VaultId, Subject)> = named.map(|c| (c.ask.vault, c.ask.subject)).collect();
    let (first, last, records) = match (own.first(), befallen, planned.conditions.first()) {
        (Some(first), ..) => (first.at, own.last().map_or(0, |c| c.at), own.len()),
        (None, Some(calls), _) => (calls.first, calls.last, calls.records),
        // Silence: there is no record to name.
        (None, None, condition) => condition.map_or((0, 0, 0), |c| (c.from, c.to, 0)),
    };
    let bait = |(vault, subject): &(VaultId, Subject)| match subject {
        Subject::Object(o) => Some(format!("{}/{}", company.vault(*vault).name, company.object(*o).name)),
        _ => None,
    };
    let kind = planned.request.kind;
    let bait = if kind == AttackKind::HoneyObject { objects.iter().filter_map(bait).collect() } else { Vec::new() };
    AttackLabel {
        kind: planned.request.kind,
        id: format!("attack-{}", number + 1),
        principal_id: planned.caller.map(|c| principal_id(company, c)),
        principal_name: planned.caller.map(|c| company.caller(c).name.clone()),
        principal_type: planned.caller.map_or("anonymous", |c| company.caller(c).by.as_str()),
        vaults: vaults.into_iter().map(|v| company.vault(v).name.clone()).collect(),
        objects: objects.len(),
        caller_ip: if own.iter().all(|c| c.ask.op.notifies()) { String::new() } else { planned.address.text() },
        first_record: rfc3339(first),
        last_record: rfc3339(last),
        records,
        challenges: challenges.len(),
        form: planned.request.form,
        from: planned.from,
        others: planned.others.iter().map(|c| principal_id(company, *c)).collect(),
        bait,
        listed: matches!(kind, AttackKind::ListedAddress | AttackKind::ListedAddressDenied),
    }
}

/// Everything on the quiet list that lives in this company.
pub(super) fn quiet(company: &Company) -> Vec<QuietLabel> {
    let mut list = QuietList { company, labels: Vec::new() };
    list.changes();
    list.rotations();
    list.habits();
    list.people();
    list.everybody();
    list.labels
}

struct QuietList<'a> {
    company: &'a Company,
    labels: Vec<QuietLabel>,
}

impl QuietList<'_> {
    fn add(
        &mut self,
        kind: &'static str,
        who: Option<CallerId>,
        vaults: &[VaultId],
        when: (Micros, Micros),
        note: String,
    ) {
        let company = self.company;
        self.labels.push(QuietLabel {
            kind,
            principal_id: who.map(|c| principal_id(company, c)),
            principal_name: who.map(|c| company.caller(c).name.clone()),
            vaults: vaults.iter().map(|v| company.vault(*v).name.clone()).collect(),
            from: rfc3339(when.0),
            to: rfc3339(when.1),
            note,
        });
    }

    fn always(&self) -> (Micros, Micros) {
        (self.company.from, self.company.to)
    }

    fn changes(&mut self) {
        let company = self.company;
        for plan in &company.workloads {
            let (who, vault) = (Some(plan.caller), [plan.vault]);
            if plan.since > company.from {
                let note = "a new service begins; some minutes of refusals while its role propagates";
                self.add("new_service", who, &vault, (plan.since, plan.since + DAY), note.into());
            }
            if plan.doubles < company.to {
                let note = format!("from {} pods to {}", plan.instances, 2 * plan.instances);
                self.add("pods_doubled", who, &vault, (plan.doubles, company.to), note);
            }
            if plan.moves.0 < company.to {
                let note = "moves to other private addresses and reads its configuration there";
                self.add("address_move", who, &vault, (plan.moves.0, company.to), note.into());
            }
        }
    }

    fn rotations(&mut self) {
        let company = self.company;
        let Some(odd) = company.oddities else { return };
        for rotation in &company.rotations {
            let object = company.object(rotation.object);
            let note = format!("{} gets a new version and is reread by all its readers", object.name);
            self.add("rotation", Some(odd.rotator), &[object.vault], (rotation.at - MINUTE, rotation.at + HOUR), note);
        }
    }

    fn habits(&mut self) {
        let (company, always) = (self.company, self.always());
        for Pipeline { caller, vaults } in &company.pipelines {
            let note = "reads its application's whole vault on deployment, each time from another address";
            self.add("pipeline_deployment", Some(*caller), vaults, always, note.into());
        }
        let Some(odd) = company.oddities else { return };
        let prod = company.prod();
        let refused = company.object(odd.refused.1).vault;
        let own = company.caller(odd.per_call).reach.clone();
        let monthly = if company.to - company.from < 45 * DAY { "every Sunday" } else { "on the first of the month" };
        let habits: [(&'static str, CallerId, Vec<VaultId>, String); 5] = [
            ("nightly_scanner", odd.scanner, Vec::new(), "lists every vault every night and reads no value".into()),
            ("backup_job", odd.backup, prod, format!("backs up every production vault {monthly}")),
            ("steady_denials", odd.refused.0, vec![refused], "a broken application, refused all day".into()),
            ("steady_not_found", odd.missing.0, vec![odd.missing.1], "asks for a secret that was renamed".into()),
            ("client_per_call", odd.per_call, own, "a new client for each call, so a 401 before each".into()),
        ];
        for (kind, caller, vaults, note) in habits {
            self.add(kind, Some(caller), &vaults, always, note);
        }
    }

    fn people(&mut self) {
        let company = self.company;
        for person in &company.people {
            if let Some((from, to)) = person.holiday {
                let note = format!("back from holiday (away since {}), and catching up", rfc3339(from));
                self.add("back_from_holiday", Some(person.caller), &[], (to, (to + 3 * DAY).min(company.to)), note);
            }
            if let Some(when) = on_call_nights(company, person) {
                let note = "on call at night in the weeks of the rotation, from home";
                self.add("on_call", Some(person.caller), &[], when, note.into());
            }
        }
    }

    fn everybody(&mut self) {
        let (company, always) = (self.company, self.always());
        let azure = company.platform;
        for service in [azure.resource_graph, azure.policy, azure.app_service] {
            let note = "Azure's own service: an application id and no object id";
            self.add("azure_services", Some(service), &[], always, note.into());
        }
        self.add("challenge", None, &[], always, "the 401 before a client's first call".into());
        if company.oddities.is_none() {
            return;
        }
        let signer = company.workloads.iter().find(|w| w.role == super::company::Role::Crypto);
        if let Some(signer) = signer {
            let note = "a few 429 at the peaks of working days, done again at once";
            self.add("normal_throttling", Some(signer.caller), &[signer.vault], always, note.into());
        }
    }
}
