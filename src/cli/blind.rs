//! What is said where the records of a period carry no status or name no caller: which detections see nothing of them.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Int64Type;

use super::note;
use super::table::{count, counted};
use crate::detection::blind::Lack;
use crate::detection::{Period, Rule};
use crate::store::{QueryLimits, Store};

/// A vault is named where so many of a hundred of its requests lack something.
const SHARE: u32 = 95;
/// Vaults that a sentence names.
const VAULTS: usize = 3;
/// Detections that a sentence names; ours are fewer.
const RULES: usize = 60;
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// Vaults most of whose requests lack something.
struct Lacking {
    /// Some of them by name.
    named: Vec<String>,
    vaults: u64,
    requests: u64,
    lacking: u64,
}

/// Says what the requests of a period lack and which of the rules are blind to them.
pub async fn tell(store: &Store, rules: &[&Rule], period: Period) -> anyhow::Result<()> {
    for (lack, condition) in
        [(Lack::Status, "outcome = 'unknown'"), (Lack::Caller, "principal_id IS NULL AND principal_name IS NULL")]
    {
        let blind: Vec<&str> =
            rules.iter().filter(|rule| rule.is_blind_without(lack)).map(|rule| rule.id.as_str()).collect();
        if let Some(found) = lacking(store, condition, period).await?.filter(|_| !blind.is_empty()) {
            note(&sentence(lack, &found, &blind));
        }
    }
    Ok(())
}

fn sentence(lack: Lack, found: &Lacking, blind: &[&str]) -> String {
    let mut vaults = found.named.join(", ");
    if found.vaults > found.named.len() as u64 {
        vaults.push_str(&format!(" and {} more", counted(found.vaults - found.named.len() as u64, "vault")));
    }
    let mut rules = blind.iter().take(RULES).copied().collect::<Vec<_>>().join(", ");
    if blind.len() > RULES {
        rules.push_str(&format!(" and {} more", blind.len() - RULES));
    }
    let (what, way_out) = match lack {
        Lack::Status => ("have no status", "httpStatusCode, or resultSignature"),
        Lack::Caller => {
            ("name no caller", "identity (identity_claim_oid_g, identity_claim_appid_g in AzureDiagnostics)")
        }
    };
    format!(
        "warning: {} of {} of {vaults} {what}; detections blind to them: {rules}. Export the logs with {way_out}",
        count(found.lacking),
        counted(found.requests, "request"),
    )
}

/// The vaults of whose requests nearly all fulfil a condition; from the roll-up, so that any later command knows it too.
async fn lacking(store: &Store, condition: &str, period: Period) -> anyhow::Result<Option<Lacking>> {
    let time = |micros: i64| {
        let text = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
        format!("TIMESTAMP '{}'", text.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    };
    // Challenges, notices and changes have no caller, or no outcome, by nature.
    let sql = format!(
        "WITH vaults AS (
             SELECT coalesce(vault_name, 'no vault') AS vault, sum(calls) AS calls,
                    sum(CASE WHEN {condition} THEN calls ELSE 0 END) AS lacking
             FROM activity
             WHERE hour >= {} AND hour < {} AND outcome <> 'challenge'
               AND operation_class IN ('read', 'list', 'write', 'delete', 'purge', 'backup', 'restore', 'crypto')
             GROUP BY vault_name
         )
         SELECT vault, CAST(count(*) OVER () AS BIGINT) AS vaults, CAST(sum(calls) OVER () AS BIGINT) AS calls,
                CAST(sum(lacking) OVER () AS BIGINT) AS all_lacking
         FROM vaults WHERE 100 * lacking >= {SHARE} * calls
         ORDER BY lacking DESC, vault LIMIT {VAULTS}",
        time(period.from.div_euclid(HOUR) * HOUR),
        time(period.to),
    );
    let mut found: Option<Lacking> = None;
    for batch in super::query::collect(store, &sql, QueryLimits::default()).await? {
        let number = |at: usize| batch.column(at).as_primitive::<Int64Type>().value(0).unsigned_abs();
        let names = batch.column(0).as_string::<i32>();
        if names.is_empty() {
            continue;
        }
        let new = || Lacking { named: Vec::new(), vaults: number(1), requests: number(2), lacking: number(3) };
        found.get_or_insert_with(new).named.extend(names.iter().flatten().map(str::to_owned));
    }
    Ok(found)
}
