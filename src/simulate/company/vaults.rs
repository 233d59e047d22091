//! Vaults of three environments over subscriptions and resource groups, and the objects in them.

use std::collections::BTreeSet;

use super::super::config::Config;
use super::super::dice::Dice;
use super::super::{DAY, names};
use super::{Company, Env, Micros, Object, ObjectId, Vault, VaultId};

/// Which service and environment each vault is for. Number 0 is the platform's shared one; after it the first of
/// every five vaults are production, because that is where a company of any size has its objects.
fn plan(count: usize) -> Vec<(String, Env)> {
    let mut plan = vec![("shared".to_string(), Env::Prod)];
    for block in 0.. {
        let service = |i: usize| names::numbered(names::SERVICES, block * 3 + i);
        plan.extend([
            (service(0), Env::Prod),
            (service(1), Env::Prod),
            (service(2), Env::Prod),
            (service(0), Env::Staging),
            (service(0), Env::Dev),
        ]);
        if plan.len() >= count {
            break;
        }
    }
    plan.truncate(count);
    plan
}

pub(super) fn furnish(company: &mut Company, config: &Config, dice: &mut Dice) {
    for (index, (service, env)) in plan(config.vault_count()).into_iter().enumerate() {
        let vault = vault(company, index, &service, env);
        company.vaults.push(vault);
        fill(company, index as VaultId, &service, dice);
    }
}

fn vault(company: &Company, index: usize, service: &str, env: Env) -> Vault {
    let (location, region) = if index % 6 == 5 { ("northeurope", "neu") } else { ("westeurope", "weu") };
    let name = format!("kv-{service}-{}-{region}", env.short());
    let subscription = &company.subscriptions[env as usize];
    let path = format!(
        "/subscriptions/{subscription}/resourceGroups/rg-{service}-{}/providers/Microsoft.KeyVault/vaults/{name}",
        env.short()
    );
    Vault {
        env,
        resource_id: path.to_uppercase(),
        resource_path: path,
        location,
        region,
        rbac: index % 4 != 3,
        name,
        secrets: Vec::new(),
        keys: Vec::new(),
        certificates: Vec::new(),
    }
}

fn fill(company: &mut Company, id: VaultId, service: &str, dice: &mut Dice) {
    let prod = company.vault(id).env == Env::Prod;
    let secrets = if prod { dice.range(24, 36) } else { dice.range(10, 16) };
    let (keys, certificates) = if prod { (dice.range(3, 5), dice.range(2, 4)) } else { (2, 1) };
    let mut taken = BTreeSet::new();
    while taken.len() < secrets {
        let (system, thing) = (dice.pick(names::SYSTEMS), dice.pick(names::THINGS));
        taken.insert(if dice.chance(0.4) {
            format!("{system}-{service}-{thing}")
        } else {
            format!("{system}-{thing}")
        });
    }
    for name in taken {
        let object = add(company, id, name, dice);
        company.vaults[usize::from(id)].secrets.push(object);
    }
    for name in names::KEYS.iter().take(keys) {
        let object = add(company, id, format!("{service}-{name}"), dice);
        company.vaults[usize::from(id)].keys.push(object);
    }
    for name in names::CERTIFICATES.iter().take(certificates) {
        let object = add(company, id, format!("{service}-{name}"), dice);
        company.vaults[usize::from(id)].certificates.push(object);
    }
}

fn add(company: &mut Company, vault: VaultId, name: String, dice: &mut Dice) -> ObjectId {
    let horizon = company.to + 120 * DAY;
    let expires = if dice.chance(0.5) { (horizon + (dice.unit() * 300.0 * DAY as f64) as i64) / 1_000_000 } else { 0 };
    let versions = vec![(Micros::MIN, dice.wide())];
    company.objects.push(Object { vault, name, versions, expires, deleted: Micros::MAX });
    (company.objects.len() - 1) as ObjectId
}
