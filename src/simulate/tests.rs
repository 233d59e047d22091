//! What a simulation promises: the same bytes again, records as Azure writes them, labels that are true.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use chrono::DateTime;
use serde_json::Value;

use super::*;

/// A record, and the blob it lies in relative to the folder.
struct Line {
    record: Value,
    text: String,
    blob: String,
}

impl Line {
    fn str(&self, path: &str) -> &str {
        self.record.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn status(&self) -> u64 {
        let status = self.record["properties"]["httpStatusCode"].as_u64();
        // The Activity log has none.
        status.unwrap_or_else(|| if self.administrative() { 0 } else { panic!("no status: {}", self.text) })
    }

    /// Of the Activity log.
    fn administrative(&self) -> bool {
        self.record["category"] == "Administrative"
    }

    /// Microseconds since the epoch.
    fn time(&self) -> i64 {
        micros(self.str("/time"))
    }

    /// As a decoder derives it.
    fn principal(&self) -> Option<&str> {
        let claim = self.record["identity"].get("claim")?;
        let plane = "http://schemas.microsoft.com/identity/claims/objectidentifier";
        ["oid", plane, "appid"].iter().find_map(|name| claim.get(name)?.as_str())
    }

    fn vault(&self) -> String {
        let id = self.str("/resourceId").to_lowercase();
        let vault = id.split("/vaults/").nth(1).expect("a vault");
        vault.split('/').next().expect("split yields once").to_string()
    }

    /// Hour of the day, UTC.
    fn hour(&self) -> i64 {
        self.time() / HOUR % 24
    }

    /// The path of the request, without its host.
    fn path(&self) -> &str {
        let uri = self.str("/properties/requestUri").trim_start_matches("https://");
        let path = uri.split_once('/').map_or("", |p| p.1);
        path.split('?').next().expect("split yields once").trim_end_matches('/')
    }
}

fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
}

/// Every file below `root`, sorted by path, decompressed; labels and README left out.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent() != Some(root) || path.to_string_lossy().contains("records.jsonl") {
                let mut text = String::new();
                let bytes = fs::read(&path).unwrap();
                match path.extension() {
                    Some(e) if e == "gz" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text),
                    _ => (&bytes[..]).read_to_string(&mut text),
                }
                .unwrap();
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name.trim_end_matches(".gz").to_string(), text);
            }
        }
    }
    found
}

fn lines(root: &Path) -> Vec<Line> {
    let parse = |blob: &str, text: &str| Line {
        record: serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")),
        text: text.to_string(),
        blob: blob.to_string(),
    };
    files(root).iter().flat_map(|(blob, text)| text.lines().map(|l| parse(blob, l)).collect::<Vec<_>>()).collect()
}

struct Run {
    _folder: tempfile::TempDir,
    out: PathBuf,
    summary: Summary,
    labels: Value,
}

fn run(config: &Config) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("logs");
    let summary = simulate(config, &out).unwrap();
    let labels = serde_json::from_slice(&fs::read(out.join("labels.json")).unwrap()).unwrap();
    Run { _folder: folder, out, summary, labels }
}

/// The kinds whose attacks leave the rest of a small company alone enough for the quiet list to be looked at.
const FIRST: [AttackKind; 11] = [
    AttackKind::MassSecretRead,
    AttackKind::DeniedSpike,
    AttackKind::Throttling,
    AttackKind::ChattyCaller,
    AttackKind::ListThenRead,
    AttackKind::SlowHarvest,
    AttackKind::DeniedSweep,
    AttackKind::NameGuessing,
    AttackKind::UnauthenticatedProbe,
    AttackKind::DestructiveOperations,
    AttackKind::BackupExport,
];

/// Every attack there is, in a company with identities enough.
fn every() -> Config {
    let attacks = AttackRequest::one_of_each(&AttackKind::ALL);
    Config { days: 12, identities: 110, records_per_day: Some(6_000.0), attacks, ..usual() }
}

/// [`every`], lived once for all tests that only look at it.
static EVERY: LazyLock<(Value, Vec<Line>)> = LazyLock::new(|| {
    let run = run(&every());
    let lines = lines(&run.out);
    (run.labels, lines)
});

/// A fortnight of a company large enough for the whole quiet list.
fn usual() -> Config {
    let attacks = AttackRequest::one_of_each(&FIRST);
    let layout = Layout::Single;
    Config { days: 14, identities: 40, records_per_day: Some(1_500.0), layout, attacks, ..Config::default() }
}

/// [`usual`], lived once for all tests that only look at it.
static USUAL: LazyLock<(Value, Vec<Line>)> = LazyLock::new(|| {
    let run = run(&usual());
    let lines = lines(&run.out);
    (run.labels, lines)
});

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_does_not() {
    let config = Config { days: 3, attacks: Vec::new(), ..usual() };
    let (one, two) = (run(&config), run(&config));
    assert!(files(&one.out) == files(&two.out));
    assert_eq!(one.labels, two.labels);
    let other = run(&Config { seed: 43, ..config });
    assert!(files(&one.out) != files(&other.out));
}

#[test]
fn layouts_and_compression_hold_the_same_records() {
    let base = Config { days: 2, attacks: Vec::new(), ..usual() };
    let sorted = |layout, gzip| {
        let run = run(&Config { layout, gzip, ..base.clone() });
        let mut texts: Vec<String> = lines(&run.out).into_iter().map(|l| l.text).collect();
        assert_eq!(texts.len() as u64, run.summary.records, "{layout} {gzip}");
        texts.sort_unstable();
        texts
    };
    let single = sorted(Layout::Single, false);
    assert!(single == sorted(Layout::Single, true));
    assert!(single == sorted(Layout::Archive, false));
    assert!(single == sorted(Layout::Archive, true));
}

#[test]
fn attacks_leave_the_rest_of_life_as_it_was() {
    let quiet = Config { attacks: Vec::new(), days: 4, ..usual() };
    let attacked =
        Config { attacks: AttackRequest::parse_list("unauthenticated_probe,list_then_read").unwrap(), ..quiet.clone() };
    let calls = |config: &Config| {
        let mut company = Company::found(config);
        let attacks = attack::plan(&mut company, config).unwrap();
        let mut keys = Vec::new();
        engine::live(&company, &attacks, 1.0, |_, calls| {
            keys.extend(calls.iter().filter(|c| c.script == 0).map(|c| (c.at, c.actor, c.correlation)));
            Ok::<(), ()>(())
        })
        .unwrap();
        keys
    };
    assert!(calls(&quiet) == calls(&attacked));
}

#[test]
fn records_are_as_azure_writes_them() {
    let (from, to) = (usual().from(), usual().to().max(every().to()));
    for line in USUAL.1.iter().chain(&EVERY.1).filter(|l| !l.administrative()) {
        let (record, text) = (&line.record, &line.text);
        for field in
            ["time", "resourceId", "operationName", "category", "operationVersion", "resultSignature", "durationMs"]
        {
            assert!(record[field].as_str().is_some_and(|v| !v.is_empty()), "{field}: {text}");
        }
        assert!((from..to).contains(&line.time()), "{text}");
        assert_eq!(line.str("/time").len(), "2026-10-01T00:00:00.0000000Z".len(), "{text}");
        assert_eq!(record["resultType"], "Success", "also on failures: {text}");
        assert_eq!(line.str("/resourceId"), line.str("/resourceId").to_uppercase());
        assert!(line.str("/durationMs").parse::<u32>().is_ok_and(|ms| ms > 0), "{text}");
        assert!(record["identity"].is_object());
        let notification = line.str("/operationName").ends_with("EventGridNotification");
        assert_eq!(line.str("/callerIpAddress").parse::<std::net::Ipv4Addr>().is_err(), notification, "{text}");
        assert!(notification || line.str("/properties/requestUri").starts_with("https://"), "{text}");
        a_status_has_its_shape(line);
    }
}

fn a_status_has_its_shape(line: &Line) {
    let (properties, text) = (&line.record["properties"], &line.text);
    let described = line.record.get("resultDescription").is_some();
    let granted = properties.get("isRbacAuthorized").or(properties.get("isAccessPolicyMatch"));
    match line.status() {
        200 | 204 => assert!(!described, "{text}"),
        401 => {
            assert_eq!(line.str("/operationName"), "Authentication");
            assert_eq!(line.record["identity"], serde_json::json!({}));
            assert!(properties.get("id").is_none() && granted.is_none() && !line.path().is_empty(), "{text}");
        }
        403 => assert!(described && granted == Some(&Value::Bool(false)), "{text}"),
        404 => assert!(described && granted == Some(&Value::Bool(true)) && text.contains("was not found"), "{text}"),
        429 | 500 | 503 => assert!(described, "{text}"),
        other => panic!("no such status is simulated: {other}"),
    }
    let control = line.str("/operationName").starts_with("Vault");
    assert_eq!(
        properties.get("tlsVersion").is_some(),
        !control && properties.get("eventGridEventProperties").is_none()
    );
    assert!(properties.get("isRbacAuthorized").is_none() || properties.get("isAccessPolicyMatch").is_none(), "{text}");
    if line.str("/operationName").ends_with("List") {
        assert!(properties.get("id").is_none() && text.contains("maxresults=25"), "{text}");
    }
}

#[test]
fn the_number_of_records_is_what_was_asked_for() {
    let cases = [(14, 16, 950.0), (3, 40, 4_000.0), (1, 90, 12_000.0), (12, 24, 1_000.0), (1, 16, 15_000.0)];
    for (days, identities, rate) in cases {
        let config =
            Config { days, identities, records_per_day: Some(rate), layout: Layout::Single, ..Config::default() };
        let wanted = rate * f64::from(days);
        let got = run(&config).summary.records as f64;
        assert!((got / wanted - 1.0).abs() < 0.2, "{days} days of {identities}: wanted {wanted}, got {got}");
    }
}

#[test]
fn repeats_are_exact_and_late_records_lie_in_the_next_hour() {
    let run = run(&Config {
        layout: Layout::Archive,
        records_per_day: Some(8_000.0),
        days: 5,
        attacks: Vec::new(),
        ..usual()
    });
    let lines = lines(&run.out);
    let distinct: BTreeSet<&str> = lines.iter().map(|l| l.text.as_str()).collect();
    assert_eq!((lines.len() - distinct.len()) as u64, run.summary.repeats);
    assert!(run.summary.repeats > 2);
    let hour_of_blob = |l: &Line| {
        let part = |key: &str| l.blob.split('/').find_map(|p| p.strip_prefix(key)).expect("a blob path").to_string();
        micros(&format!("{}-{}-{}T{}:00:00Z", part("y="), part("m="), part("d="), part("h=")))
    };
    let late = lines.iter().filter(|l| l.time() < hour_of_blob(l)).count();
    assert!(late > 20, "{late}");
    for line in &lines {
        let behind = hour_of_blob(line) - line.time();
        assert!((-HOUR..=HOUR).contains(&behind), "{} in {}", line.text, line.blob);
        assert!(line.blob.contains(&format!("resourceId={}/y=", line.str("/resourceId"))));
    }
}

#[test]
fn every_attack_is_where_its_label_says() {
    every_label_matches(&USUAL.0, &USUAL.1, FIRST.len());
    every_label_matches(&EVERY.0, &EVERY.1, AttackKind::ALL.len());
}

#[test]
fn so_is_every_slow_attack() {
    let mut config = every();
    config.attacks.iter_mut().for_each(|a| a.form = Form::Slow);
    let run = run(&config);
    every_label_matches(&run.labels, &lines(&run.out), config.attacks.len());
}

#[test]
fn the_activity_log_tells_begin_and_end_of_each_change() {
    let records: Vec<&Line> = EVERY.1.iter().filter(|l| l.administrative()).collect();
    let mut changes: BTreeMap<&str, Vec<&&Line>> = BTreeMap::new();
    for line in &records {
        changes.entry(line.str("/correlationId")).or_default().push(line);
    }
    assert!(changes.len() >= 10, "{}", changes.len());
    for pair in changes.values() {
        let results: Vec<&str> = pair.iter().map(|l| l.str("/resultType")).collect();
        assert_eq!(results, ["Start", "Success"], "{}", pair[0].text);
        assert_eq!(pair[0].str("/operationName"), pair[0].str("/operationName").to_uppercase());
        assert!(pair[0].principal().is_none() && pair[0].text.contains("identity/claims/objectidentifier"));
        assert!(pair[0].record.pointer("/identity/authorization/scope").is_some(), "{}", pair[0].text);
    }
    let roles = records.iter().filter_map(|l| l.record.pointer("/properties/requestbody"));
    let bodies: Vec<Value> = roles.map(|b| serde_json::from_str(b.as_str().unwrap()).unwrap()).collect();
    assert!(!bodies.is_empty() && bodies.iter().all(|b| b["Properties"]["PrincipalId"].is_string()));
}

#[test]
fn what_is_left_open_is_drawn_by_the_seed() {
    let mixed = |seed| {
        let mut requests = AttackRequest::one_of_each(&AttackKind::ALL);
        mix(&mut requests, seed);
        format!("{requests:?}")
    };
    assert_eq!(mixed(1), mixed(1));
    assert_ne!(mixed(1), mixed(2));
    let mut fixed = AttackRequest::parse_list("slow_harvest:user:outside").unwrap();
    mix(&mut fixed, 3);
    assert_eq!((fixed[0].by, fixed[0].from), (Some(By::User), Some(Origin::Outside)));
    let config = |seed| {
        let mut config = Config { days: 16, identities: 90, records_per_day: Some(1_000.0), seed, ..every() };
        mix(&mut config.attacks, seed);
        config
    };
    let (one, two) = (run(&config(5)), run(&config(5)));
    assert!(files(&one.out) == files(&two.out) && one.labels == two.labels);
}

fn every_label_matches(labels: &Value, lines: &[Line], count: usize) {
    let attacks = labels["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), count);
    attacks.iter().for_each(|label| label_matches(label, lines));
}

fn label_matches(label: &Value, lines: &[Line]) {
    let text = |field: &str| label[field].as_str().unwrap_or_else(|| panic!("{field} of {label}"));
    let (first, last) = (micros(text("first_record")), micros(text("last_record")));
    let vaults: Vec<&str> = label["vaults"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let others: Vec<&str> = label["others"].as_array().into_iter().flatten().map(|v| v.as_str().unwrap()).collect();
    let told = |l: &&Line| text("kind") != "server_errors" || l.status() >= 500;
    let own = |l: &&Line| match label["principal_id"].as_str() {
        Some(id) => {
            let administrator = l.record.pointer("/identity/claims");
            let claim = "http://schemas.microsoft.com/identity/claims/objectidentifier";
            let who = l.principal().or(administrator.and_then(|c| c[claim].as_str()));
            who.is_some_and(|who| who == id || others.contains(&who))
        }
        None if text("caller_ip").is_empty() => vaults.contains(&l.vault().as_str()) && told(l),
        None => l.principal().is_none() && l.str("/callerIpAddress") == text("caller_ip"),
    };
    let within: Vec<&Line> = lines.iter().filter(own).filter(|l| (first..=last).contains(&l.time())).collect();
    let records = label["records"].as_u64().unwrap() as usize;
    if text("kind") == "log_silence" {
        let attacked = lines.iter().filter(|l| vaults.contains(&l.vault().as_str())).count();
        assert!(within.iter().filter(|l| !l.administrative()).count() * 50 < attacked, "{label}");
        return;
    }
    assert!(within.len() >= records && records > 0, "{label}: {} records", within.len());
    assert!(within.iter().any(|l| l.time() == first) && within.iter().any(|l| l.time() == last), "{label}");
    for vault in &vaults {
        assert!(within.iter().any(|l| l.vault() == *vault), "{vault} of {label}");
    }
    let count = |status: u64| within.iter().filter(|l| l.status() == status).count();
    let objects = label["objects"].as_u64().unwrap();
    let minutes = (last - first) / MINUTE;
    let fast = label["form"] == "fast";
    let true_to_kind = match text("kind") {
        "mass_secret_read" => (30..=80).contains(&objects) && (!fast || (15..=45).contains(&minutes)),
        "denied_spike" => {
            (60..).contains(&count(403)) && label["vaults"].as_array().unwrap().len() >= 3 && (!fast || minutes <= 10)
        }
        "throttling" => count(429) >= 100 && others_are_throttled(label, lines, first, last),
        "chatty_caller" => objects == 1 && records >= 900 && minutes >= 180,
        "list_then_read" => objects >= 7,
        "slow_harvest" => objects >= 30 && minutes >= 20 * 60,
        "denied_sweep" => count(403) >= label["vaults"].as_array().unwrap().len(),
        "name_guessing" => count(404) >= 35,
        "unauthenticated_probe" => count(401) == records && records >= 15,
        "destructive_operations" => count(204) >= 4,
        "backup_export" => objects >= 20,
        kind => looks_like(kind, &within, &count) && objects + records as u64 > 0,
    };
    assert!(true_to_kind, "{label}");
}

/// What gives each of the other kinds away.
fn looks_like(kind: &str, within: &[&Line], count: &dyn Fn(u64) -> usize) -> bool {
    let op = |name: &str| within.iter().filter(|l| l.str("/operationName").eq_ignore_ascii_case(name)).count();
    let has = |text: &str| within.iter().any(|l| l.text.contains(text));
    let read = |n: usize| op("SecretGet") >= n;
    let vaults = || within.iter().map(|l| l.vault()).collect::<BTreeSet<_>>().len();
    let addresses = || within.iter().map(|l| l.str("/callerIpAddress").to_string()).collect::<BTreeSet<_>>().len();
    match kind {
        "new_object_read" | "new_caller_on_vault" | "dormant_caller" | "cross_environment_read" => read(4),
        "new_address" | "shared_address" | "off_hours_read" => read(4),
        "new_client" => has("curl") || has("python-requests"),
        "many_vaults" => vaults() >= 20,
        "certificate_key_read" => read(2) && has("-tls"),
        "honey_object" => read(1) && has("breakglass-admin-password"),
        "listed_address" => read(3),
        "listed_address_denied" | "unusual_denied_caller" => count(403) >= 4,
        "operation_mix" => op("KeyList") >= 6 && op("CertificateList") >= 6,
        "volume_anomaly" | "volume_growth" | "poll_fan_out" => read(480),
        "crypto_spike" => op("KeyDecrypt") >= 300,
        "denied_then_allowed" => count(403) >= 4 && read(6),
        "denied_by_network" => count(403) >= 20 && has("is not authorized and caller is not a trusted"),
        "retry_storm" => count(429) >= 500,
        "near_limit" => op("KeySign") >= 1_300 && count(429) == 0,
        "client_per_call" => read(390),
        "restore_or_recover" => op("SecretRecover") + op("SecretRestore") >= 8,
        "key_tampering" => op("KeyUpdate") >= 2 && has("\"enabled\":false"),
        "policy_change_then_read" => {
            read(10) && op("VaultPatch") + op("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE") >= 1
        }
        "access_policy_flap" => has("addedAccessPolicy") && has("removedAccessPolicy"),
        "self_grant" => has("addedAccessPolicy") || has("requestbody"),
        "permission_model_changed" => has("\"enableRbacAuthorization\":false"),
        "network_opened" => has("\"defaultAction\":\"Allow\"") || has("addedIpRule"),
        "protection_weakened" => has("\"softDeleteRetentionInDays\":7") && op("VaultPut") + op("VaultPatch") > 0,
        "vault_changed" => op("VaultPatch") >= 3,
        "diagnostics_removed" => op("MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE") >= 2,
        "role_granted" => op("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE") >= 2,
        "foreign_trusted_service" => has("TrustedService") && has("\"iss\":") && addresses() == 1,
        "old_tls" => has("TLS1_0") || has("TLS1_1"),
        "slow_requests" => within.iter().any(|l| l.str("/durationMs").parse::<u32>().unwrap() > 200),
        "server_errors" => count(500) + count(503) == within.len(),
        "near_expiry" => op("CertificateNearExpiryEventGridNotification") >= 1,
        "expired" => op("SecretExpiredEventGridNotification") >= 1,
        other => panic!("a kind without a check: {other}"),
    }
}

fn others_are_throttled(label: &Value, lines: &[Line], first: i64, last: i64) -> bool {
    let other = |l: &&Line| {
        l.status() == 429 && (first..=last).contains(&l.time()) && l.principal() != label["principal_id"].as_str()
    };
    lines.iter().filter(other).count() > 2
}

#[test]
fn an_attack_comes_as_ordered() {
    let at = Config::default().start + chrono::TimeDelta::hours(30);
    let order =
        |kind, by, from| AttackRequest { at: Some(at), by: Some(by), from: Some(from), ..AttackRequest::new(kind) };
    let attacks = vec![
        order(AttackKind::MassSecretRead, By::ManagedIdentity, Origin::Inside),
        order(AttackKind::MassSecretRead, By::Application, Origin::Outside),
        order(AttackKind::DeniedSpike, By::User, Origin::Inside),
    ];
    let config = Config { attacks, days: 3, ..usual() };
    let run = run(&config);
    let known: BTreeSet<String> = addresses_before(&lines(&run.out), at.timestamp_micros());
    for label in run.labels["attacks"].as_array().unwrap() {
        let late = micros(label["first_record"].as_str().unwrap()) - at.timestamp_micros();
        assert!((0..SECOND).contains(&late), "{label}");
        let own = known.contains(label["caller_ip"].as_str().unwrap());
        assert_eq!(own, label["from"] == "inside", "{label}");
    }
    let types: BTreeSet<&str> =
        run.labels["attacks"].as_array().unwrap().iter().map(|a| a["principal_type"].as_str().unwrap()).collect();
    assert_eq!(types, BTreeSet::from(["application", "managed_identity", "user"]));
}

fn addresses_before(lines: &[Line], t: i64) -> BTreeSet<String> {
    lines.iter().filter(|l| l.time() < t).map(|l| l.str("/callerIpAddress").to_string()).collect()
}

#[test]
fn the_quiet_list_lives_in_it() {
    let (labels, lines) = &*USUAL;
    let labels = labels["quiet"].as_array().unwrap();
    let kinds: BTreeSet<&str> = labels.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    let expected = BTreeSet::from(QUIET);
    assert_eq!(kinds, expected);
    let mut nights = 0;
    for label in labels {
        let (from, to) = (micros(label["from"].as_str().unwrap()), micros(label["to"].as_str().unwrap()));
        let who = label["principal_id"].as_str();
        let own = |l: &&Line| who.is_none() || l.principal() == who;
        let within: Vec<&Line> = lines.iter().filter(own).filter(|l| (from..to).contains(&l.time())).collect();
        let before: Vec<&Line> = lines.iter().filter(own).filter(|l| l.time() < from).collect();
        match label["kind"].as_str().unwrap() {
            "on_call" => nights += within.iter().filter(|l| !(3..22).contains(&l.hour())).count(),
            kind => assert!(!within.is_empty() && looks_so(kind, &within, &before, lines), "{label}"),
        }
    }
    assert!(nights > 5, "{nights} calls at night");
}

const QUIET: [&str; 15] = [
    "new_service",
    "rotation",
    "pods_doubled",
    "address_move",
    "nightly_scanner",
    "backup_job",
    "pipeline_deployment",
    "back_from_holiday",
    "on_call",
    "steady_denials",
    "steady_not_found",
    "challenge",
    "client_per_call",
    "azure_services",
    "normal_throttling",
];

fn looks_so(kind: &str, within: &[&Line], before: &[&Line], all: &[Line]) -> bool {
    let addresses =
        |some: &[&Line]| some.iter().map(|l| l.str("/callerIpAddress").to_string()).collect::<BTreeSet<_>>();
    let count = |status: u64| within.iter().filter(|l| l.status() == status).count();
    let named = |name: &str| within.iter().filter(|l| l.str("/operationName") == name).count();
    let a_day = |some: &[&Line], days: i64| some.len() as f64 / days as f64;
    let days = |some: &[&Line]| {
        (some.iter().map(|l| l.time()).max().unwrap() - some.iter().map(|l| l.time()).min().unwrap()) / DAY + 1
    };
    match kind {
        "new_service" => before.is_empty() && count(403) >= 5 && count(200) >= 5,
        "rotation" => {
            let set = within.iter().find(|l| l.str("/operationName") == "SecretSet").expect("the new version");
            let reads = |l: &&Line| l.status() == 200 && l.path() == set.path() && l.vault() == set.vault();
            let soon = |l: &&Line| (0..HOUR).contains(&(l.time() - set.time())) && l.principal() != set.principal();
            all.iter().filter(reads).any(|l| soon(&l))
        }
        "pods_doubled" => a_day(within, days(within)) > 1.5 * a_day(before, days(before)),
        "address_move" => addresses(within).is_disjoint(&addresses(before)) && !before.is_empty(),
        "nightly_scanner" => {
            named("SecretGet") == 0 && named("SecretList") > 100 && within.iter().all(|l| l.hour() == 2)
        }
        "backup_job" => named("SecretBackup") > 50 && named("KeyBackup") > 5,
        "pipeline_deployment" => addresses(within).len() > 3 && named("SecretGet") > 50,
        "back_from_holiday" => !before.is_empty(),
        "steady_denials" => count(403) == within.len() && within.len() > 100,
        "steady_not_found" => count(404) == within.len() && within.len() > 50,
        "challenge" => count(401) > 300,
        "client_per_call" => {
            let address = within[0].str("/callerIpAddress");
            let challenges = all.iter().filter(|l| l.status() == 401 && l.str("/callerIpAddress") == address).count();
            challenges >= within.len() * 9 / 10
        }
        "azure_services" => within.iter().all(|l| l.record["identity"]["claim"].as_object().unwrap().len() == 1),
        "normal_throttling" => (3..150).contains(&count(429)),
        other => panic!("a quiet kind without a check: {other}"),
    }
}

#[test]
fn without_the_quiet_list_there_is_none() {
    let run = run(&Config { quiet: false, attacks: Vec::new(), days: 4, ..usual() });
    assert_eq!(run.labels["quiet"].as_array().unwrap().len(), 0);
    assert_eq!(lines(&run.out).iter().filter(|l| matches!(l.status(), 403 | 404 | 429)).count(), 0);
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.txt"), "keep").unwrap();
    let error = simulate(&Config { days: 1, ..usual() }, folder.path()).unwrap_err();
    assert!(matches!(error, SimulateError::NotEmpty(_)) && error.to_string().contains("is not empty"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let below_a_file = folder.path().join("mine.txt/logs");
    assert!(matches!(simulate(&Config { days: 1, ..usual() }, &below_a_file), Err(SimulateError::Write { .. })));
}

#[test]
fn an_identity_that_does_not_exist_is_said_so() {
    let users = vec![AttackRequest { by: Some(By::User), ..AttackRequest::new(AttackKind::MassSecretRead) }; 9];
    let folder = tempfile::tempdir().unwrap();
    let error = simulate(&Config { attacks: users, identities: 16, ..usual() }, folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no user is left for the attack mass_secret_read: ask for fewer attacks or more identities"
    );
}

#[test]
fn progress_rises_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let config = Config { days: 1, ..usual() };
    let summary = simulate_with(&config, folder.path(), &mut |p| seen.push(p)).unwrap();
    assert_eq!(seen.len(), 24);
    assert!(seen.windows(2).all(|w| w[0].share < w[1].share && w[0].records <= w[1].records));
    assert_eq!((seen[23].share, seen[23].records), (1.0, summary.records));
}

/// sample-logs is what the code writes today. To renew it, run this test with `KVAUDIT_WRITE_SAMPLE` naming a folder
/// that does not exist, and put what it writes in place of the old logs and labels.
#[test]
fn sample_logs_are_current() {
    if let Some(target) = std::env::var_os("KVAUDIT_WRITE_SAMPLE") {
        simulate(&Config::sample(), Path::new(&target)).unwrap();
        return;
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs");
    let fresh = run(&Config::sample());
    let same = files(&kept) == files(&fresh.out);
    assert!(same, "sample-logs differ from what the code writes: renew them with KVAUDIT_WRITE_SAMPLE");
    let labels: Value = serde_json::from_slice(&fs::read(kept.join("labels.json")).unwrap()).unwrap();
    assert_eq!(labels, fresh.labels);
    assert!((10_000..=20_000).contains(&fresh.summary.records));
    assert!(fresh.summary.bytes < 2_000_000 && fresh.summary.files < 2_500);
    let readme = fs::read_to_string(kept.join("README.md")).unwrap();
    let attacks = labels["attacks"].as_array().unwrap();
    let told = attacks.iter().all(|a| readme.contains(a["principal_name"].as_str().unwrap()));
    assert!(
        told && readme.contains(&format!(
            "{},{:03} records",
            fresh.summary.records / 1000,
            fresh.summary.records % 1000
        ))
    );
}
