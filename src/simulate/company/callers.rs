//! Applications and managed identities: workloads, pipelines, and the callers with one peculiar habit.

use super::super::MINUTE;
use super::super::client::{self, ClientId};
use super::super::config::{By, Config};
use super::super::dice::Dice;
use super::{
    Address, Caller, CallerId, Company, Env, Micros, Network, Oddities, Pipeline, Platform, Role, VaultId, Workload,
    next_office_hour, people,
};

/// First bytes of the public ranges that a data centre's outbound addresses are drawn from.
const CLOUD: [u8; 6] = [20, 40, 52, 13, 51, 104];

/// First bytes of the ranges that attackers outside come from.
const FOREIGN: [u8; 6] = [45, 146, 185, 193, 194, 212];

/// How many identities of each sort a company of this size has.
struct Staff {
    people: usize,
    pipelines: usize,
    workloads: usize,
}

impl Staff {
    fn of(config: &Config) -> Self {
        let (people, pipelines) = (config.people(), config.pipelines());
        let odd = if config.quiet { 6 } else { 0 };
        Self { people, pipelines, workloads: config.identities - people - pipelines - odd }
    }
}

pub(super) fn employ(company: &mut Company, config: &Config, dice: &mut Dice) {
    let staff = Staff::of(config);
    for index in 0..staff.workloads {
        workload(company, index, dice);
    }
    if config.quiet {
        plan_changes(company, config, dice);
    }
    for index in 0..staff.pipelines {
        pipeline(company, index, dice);
    }
    people::hire(company, config, staff.people, dice);
    company.platform = Platform {
        resource_graph: azure(
            company,
            "Azure Resource Graph",
            "509e4652-da8d-478d-a730-e9d4a1996ca4",
            client::ARM,
            dice,
        ),
        policy: azure(company, "Policy Insights", "8cae6e77-e04e-42ce-b5cb-50d82bce26b1", client::ARM, dice),
        app_service: azure(company, "App Service", "abfa0a7c-a6b6-4736-8310-5855508787cd", client::PLATFORM, dice),
    };
    if config.quiet {
        company.oddities = Some(oddities(company, dice));
    }
}

/// Vaults by place in the plan: within six workloads, signing and the nightly job share the second one.
fn home(company: &Company, index: usize) -> VaultId {
    let own = company.vaults.len() - 1;
    let place = (index / 6) * 3 + [0, 1, 0, 1, 2, 2][index % 6];
    (1 + place % own) as VaultId
}

fn workload(company: &mut Company, index: usize, dice: &mut Dice) {
    let role = [Role::Poller, Role::Crypto, Role::Refresher, Role::Batch, Role::Web, Role::Refresher][index % 6];
    let vault = home(company, index);
    let what = ["api", "signing", "worker", "settlement", "web", "mobile"][index % 6];
    let service = service_of(company, vault);
    let env = company.vault(vault).env;
    let name = match index / 6 {
        0 => format!("{service}-{what}-{}", env.short()),
        round => format!("{service}-{what}{}-{}", round + 1, env.short()),
    };
    let private = matches!(role, Role::Poller | Role::Refresher | Role::Crypto);
    let instances = dice.range(2, 3);
    let addresses = if private { pods(company, env, "aks", instances, dice) } else { vec![cloud(dice), cloud(dice)] };
    let client = [
        client::CSI,
        client::NET_KEYS,
        [client::JAVA, client::PYTHON, client::GO][(index / 6) % 3],
        client::PYTHON,
        [client::NET_CONFIG, client::NODE][(index / 6) % 2],
        [client::GO, client::NET_SECRETS][(index / 6) % 2],
    ][index % 6];
    let by = if index.is_multiple_of(2) { By::ManagedIdentity } else { By::Application };
    let mut reach = vec![vault];
    if env == Env::Prod && index.is_multiple_of(3) {
        reach.push(0);
    }
    let caller = enrol(company, by, &name, client, reach, addresses, dice);
    let objects = objects_of(company, role, vault, dice);
    let never = (Micros::MAX, Vec::new());
    company.workloads.push(Workload {
        caller,
        role,
        vault,
        objects,
        instances,
        since: company.from,
        doubles: Micros::MAX,
        moves: never,
    });
}

fn objects_of(company: &Company, role: Role, vault: VaultId, dice: &mut Dice) -> Vec<super::ObjectId> {
    let vault = company.vault(vault);
    match role {
        Role::Poller => dice.sample(&vault.secrets, dice.clone().range(4, 6)),
        Role::Crypto => vault.keys.iter().copied().take(3).collect(),
        Role::Refresher => dice.sample(&vault.secrets, dice.clone().range(7, 10)),
        Role::Batch => dice.sample(&vault.secrets, 6),
        Role::Web => dice.sample(&vault.secrets, 4),
    }
}

/// Middle part of a vault's name: the service that it belongs to.
pub(super) fn service_of(company: &Company, vault: VaultId) -> String {
    company.vault(vault).name.split('-').nth(1).unwrap_or("shared").to_string()
}

/// The changes of the quiet list: a new service, twice the pods, another private address.
fn plan_changes(company: &mut Company, config: &Config, dice: &mut Dice) {
    let half = next_office_hour(config.at_share(0.45), dice);
    if let Some(new) = company.workloads.get_mut(5) {
        new.since = half;
    }
    if let Some(poller) = company.workloads.first_mut() {
        poller.doubles = next_office_hour(config.at_share(0.6), dice);
    }
    let env = company.workloads.get(2).map(|w| company.vault(w.vault).env);
    if let Some(env) = env {
        let pods = pods(company, env, "aks2", 2, dice);
        company.workloads[2].moves = (next_office_hour(config.at_share(0.52), dice), pods);
    }
    for index in [0, 2, 5] {
        if let Some(caller) = company.workloads.get(index).map(|w| w.caller) {
            company.callers[caller as usize].plain = false;
        }
    }
}

fn pipeline(company: &mut Company, index: usize, dice: &mut Dice) {
    let first = (1 + (index * 5) % (company.vaults.len() - 1)) as VaultId;
    let service = service_of(company, first);
    let own = |v: &VaultId| service_of(company, *v) == service;
    let mut vaults: Vec<VaultId> = company.vault_ids().filter(own).collect();
    vaults.sort_by_key(|v| std::cmp::Reverse(company.vault(*v).env as u8));
    let client = [client::PIPELINE, client::TERRAFORM][index % 2];
    let name = format!("sp-deploy-{service}{}", if index < 5 { String::new() } else { index.to_string() });
    let caller = enrol(company, By::Application, &name, client, vaults.clone(), vec![cloud(dice)], dice);
    company.callers[caller as usize].plain = false;
    company.pipelines.push(Pipeline { caller, vaults });
}

fn oddities(company: &mut Company, dice: &mut Dice) -> Oddities {
    let all: Vec<VaultId> = company.vault_ids().collect();
    let prod = company.prod();
    let own = 1 % company.vaults.len() as VaultId;
    let mut odd = |by, name: &str, client, reach: Vec<VaultId>, private: bool| {
        let addresses = if private { pods(company, Env::Prod, "tools", 1, dice) } else { vec![cloud(dice)] };
        let caller = enrol(company, by, name, client, reach, addresses, dice);
        company.callers[caller as usize].plain = false;
        caller
    };
    let scanner = odd(By::Application, "posture-scanner", client::PYTHON, all.clone(), false);
    let backup = odd(By::ManagedIdentity, "id-vault-backup-prod", client::POWERSHELL, prod, true);
    let rotator = odd(By::ManagedIdentity, "func-secret-rotation-prod", client::NET_SECRETS, all, false);
    let refused = odd(By::Application, "legacy-exporter", client::JAVA, Vec::new(), true);
    let missing = odd(By::Application, "orders-widget-api", client::NODE, vec![own], false);
    let per_call = odd(By::Application, "coupon-lambda", client::NET_SECRETS, vec![own], false);
    let denied_object = company.vault(2).secrets[0];
    Oddities { scanner, backup, rotator, refused: (refused, denied_object), missing: (missing, own), per_call }
}

/// A service of Azure's own: no object id in its tokens.
fn azure(company: &mut Company, name: &str, app_id: &str, client: ClientId, dice: &mut Dice) -> CallerId {
    let caller = enrol(company, By::Application, name, client, Vec::new(), vec![cloud(dice), cloud(dice)], dice);
    let known = &mut company.callers[caller as usize];
    known.object_id.clear();
    known.app_id = app_id.to_string();
    known.plain = false;
    caller
}

/// A new identity in the directory.
pub(in super::super) fn enrol(
    company: &mut Company,
    by: By,
    name: &str,
    client: ClientId,
    reach: Vec<VaultId>,
    addresses: Vec<Address>,
    dice: &mut Dice,
) -> CallerId {
    let subscription = &company.subscriptions[0];
    let identity_resource = match by {
        By::ManagedIdentity => format!(
            "/subscriptions/{subscription}/resourcegroups/rg-identities-prod/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        ),
        _ => String::new(),
    };
    company.callers.push(Caller {
        by,
        object_id: dice.uuid(),
        app_id: dice.uuid(),
        name: name.to_string(),
        identity_resource,
        proof: match by {
            By::User => 0,
            By::Application => 1 + u8::from(dice.chance(0.3)),
            By::ManagedIdentity => 2,
        },
        assignment: dice.uuid(),
        full_claims: by == By::User || dice.chance(0.3),
        reach,
        addresses,
        client,
        tenant: String::new(),
        plain: true,
    });
    (company.callers.len() - 1) as CallerId
}

/// An outbound address of a public cloud.
pub(in super::super) fn cloud(dice: &mut Dice) -> Address {
    internet(&CLOUD, dice)
}

/// An address of a network that the company never uses.
pub(in super::super) fn foreign(dice: &mut Dice) -> Address {
    internet(&FOREIGN, dice)
}

pub(super) fn internet(first: &[u8], dice: &mut Dice) -> Address {
    let ip = u32::from_be_bytes([
        dice.pick(first),
        dice.range(1, 254) as u8,
        dice.below(256) as u8,
        dice.range(1, 254) as u8,
    ]);
    Address { ip, network: 0 }
}

/// Private addresses of pods in a subnet of this environment.
fn pods(company: &mut Company, env: Env, subnet: &str, count: usize, dice: &mut Dice) -> Vec<Address> {
    let id = format!(
        "/subscriptions/{}/resourceGroups/rg-network-{e}/providers/Microsoft.Network/virtualNetworks/vnet-{e}-weu/subnets/snet-{subnet}",
        company.subscriptions[env as usize],
        e = env.short()
    );
    let known = company.networks.iter().position(|n| n.subnet == id);
    let network = known.unwrap_or_else(|| {
        company.networks.push(Network { subnet: id });
        company.networks.len() - 1
    });
    let pod = |dice: &mut Dice| {
        let ip = u32::from_be_bytes([10, 16 * (1 + env as u8), network as u8, dice.range(4, 250) as u8]);
        Address { ip, network: network as u16 }
    };
    (0..count).map(|_| pod(dice)).collect()
}

/// Time that a role assignment takes to reach the vault: minutes.
pub(in super::super) fn propagation(dice: &mut Dice) -> Micros {
    (dice.between(5.0, 9.0) * MINUTE as f64) as i64
}
