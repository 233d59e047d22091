//! What to simulate: the seed, the size of the company, how much it calls, and which attacks hide in its life.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use serde::Serialize;

use super::SimulateError;

/// Settings of one simulation. The same settings give the same records on every machine.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    /// Everything random follows from it.
    pub seed: u64,
    /// First moment of the logs.
    pub start: DateTime<Utc>,
    /// Length in days, 1 to 400.
    pub days: u32,
    /// Workloads, pipelines and people together, 16 to 2,000. Azure's own services come on top.
    pub identities: usize,
    /// People among them; by default a fifth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// Pipelines among them; by default one in fourteen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<usize>,
    /// Number of vaults, 3 to 500; by default one for four identities.
    pub vaults: Option<usize>,
    /// Records a day, attacks included: polling and load are scaled to meet it. By default 250 for each identity.
    pub records_per_day: Option<f64>,
    /// The attacks.
    pub attacks: Vec<AttackRequest>,
    /// How the records are laid out on disk.
    pub layout: Layout,
    /// Compress with gzip.
    pub gzip: bool,
    /// Whether the quiet list lives in it: what looks odd and is no attack.
    pub quiet: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 42,
            start: Utc.timestamp_opt(1_790_812_800, 0).single().expect("2026-10-01 is a time"),
            days: 30,
            identities: 40,
            people: None,
            pipelines: None,
            vaults: None,
            records_per_day: None,
            attacks: AttackRequest::one_of_each(&AttackKind::CORE),
            layout: Layout::Archive,
            gzip: false,
            quiet: true,
        }
    }
}

impl Config {
    /// The settings of the repository's sample-logs: a fortnight of a small company whose last three days hold one
    /// attack of each kind that has a detection.
    pub fn sample() -> Self {
        let (vaults, records_per_day) = (Some(6), Some(950.0));
        Self { days: 14, identities: 16, vaults, records_per_day, gzip: true, ..Self::default() }
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// [`SimulateError::Setting`] names the first setting that is out of its limits.
    pub fn check(&self) -> Result<(), SimulateError> {
        let setting = |name, value: String, allowed| SimulateError::Setting { name, value, allowed };
        if !(1..=400).contains(&self.days) {
            return Err(setting("days", self.days.to_string(), "1 to 400"));
        }
        if !(16..=2000).contains(&self.identities) {
            return Err(setting("identities", self.identities.to_string(), "16 to 2000"));
        }
        if !(2..=self.identities - 13).contains(&self.people()) {
            return Err(setting("people", self.people().to_string(), "2 or more, and 13 fewer than identities"));
        }
        if !(1..=self.identities - self.people() - 12).contains(&self.pipelines()) {
            return Err(setting(
                "pipelines",
                self.pipelines().to_string(),
                "1 or more, and leave 12 identities to workloads",
            ));
        }
        if !(3..=500).contains(&self.vault_count()) {
            return Err(setting("vaults", self.vault_count().to_string(), "3 to 500"));
        }
        if !(10.0..=50_000_000.0).contains(&self.target_per_day()) {
            return Err(setting("rate", self.target_per_day().to_string(), "10 to 50,000,000 records a day"));
        }
        if !(1_420_070_400..=4_102_444_800).contains(&self.start.timestamp()) {
            return Err(setting("start", self.start.to_rfc3339(), "a day between 2015 and 2100"));
        }
        if self.attacks.len() > 100 {
            return Err(setting("attacks", self.attacks.len().to_string(), "at most 100"));
        }
        let outside = |at: &DateTime<Utc>| at.timestamp_micros() < self.from() || at.timestamp_micros() >= self.to();
        match self.attacks.iter().filter_map(|a| a.at).find(outside) {
            Some(at) => Err(setting("attack time", at.to_rfc3339(), "a time within the simulated days")),
            None => Ok(()),
        }
    }

    /// Number of people.
    pub fn people(&self) -> usize {
        self.people.unwrap_or((self.identities / 5).max(3))
    }

    /// Number of pipelines.
    pub fn pipelines(&self) -> usize {
        self.pipelines.unwrap_or((self.identities / 14).max(1))
    }

    /// Number of vaults.
    pub fn vault_count(&self) -> usize {
        self.vaults.unwrap_or((self.identities / 4).clamp(5, 500))
    }

    /// Records a day that are aimed at.
    pub fn target_per_day(&self) -> f64 {
        self.records_per_day.unwrap_or(250.0 * self.identities as f64)
    }

    /// First moment, microseconds since the epoch.
    pub(super) fn from(&self) -> i64 {
        self.start.timestamp_micros()
    }

    /// First moment after the end, microseconds since the epoch.
    pub(super) fn to(&self) -> i64 {
        self.from() + i64::from(self.days) * super::DAY
    }

    /// A moment this share of the way through.
    pub(super) fn at_share(&self, share: f64) -> i64 {
        self.from() + ((self.to() - self.from()) as f64 * share) as i64
    }
}

/// One attack to hide in the logs.
#[derive(Debug, Clone, Serialize)]
pub struct AttackRequest {
    /// Which one.
    pub kind: AttackKind,
    /// When it begins; by default spread over the last days, so that a baseline exists before it.
    pub at: Option<DateTime<Utc>>,
    /// How hard it goes.
    pub form: Form,
    /// Whose identity does it; by default what suits the kind.
    pub by: Option<By>,
    /// From where; by default what suits the kind.
    pub from: Option<Origin>,
    /// Whether the identity was drawn by the seed: where none is free, another will do.
    #[serde(skip)]
    pub drawn: bool,
}

impl AttackRequest {
    /// An attack of this kind with everything else left to the simulator.
    pub fn new(kind: AttackKind) -> Self {
        Self { kind, at: None, form: Form::Fast, by: None, from: None, drawn: false }
    }

    /// One fast attack of each of these kinds.
    pub fn one_of_each(kinds: &[AttackKind]) -> Vec<Self> {
        kinds.iter().copied().map(Self::new).collect()
    }

    /// So many different kinds, drawn by the seed; all where there are not so many.
    pub fn draw(count: usize, seed: u64) -> Vec<Self> {
        Self::one_of_each(&super::dice::Dice::new(seed, "drawn kinds", 0).sample(&AttackKind::ALL, count))
    }

    /// Reads a command line's list: `none`, `all`, `core`, or kinds separated by commas, each as
    /// `kind[:slow|fast][:user|application|managed_identity][:inside|outside]`.
    ///
    /// # Errors
    /// A sentence that names the word and lists what is allowed.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        match text.trim() {
            "none" | "" => Ok(Vec::new()),
            list => Ok(list.split(',').map(Self::several).collect::<Result<Vec<_>, String>>()?.concat()),
        }
    }

    /// One word of a list: a kind, or `all` or `core` with what holds for each of them.
    fn several(text: &str) -> Result<Vec<Self>, String> {
        let (first, rest) = text.trim().split_once(':').map_or((text.trim(), ""), |(first, rest)| (first, rest));
        let kinds: &[AttackKind] = match first {
            "all" => &AttackKind::ALL,
            "core" => &AttackKind::CORE,
            _ => return Ok(vec![text.parse()?]),
        };
        let colon = if rest.is_empty() { "" } else { ":" };
        kinds.iter().map(|kind| format!("{kind}{colon}{rest}").parse()).collect()
    }
}

impl FromStr for AttackRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.trim().split(':');
        let mut request = Self::new(words.next().unwrap_or_default().parse()?);
        for word in words {
            match (word.parse::<Form>(), word.parse::<By>(), word.parse::<Origin>()) {
                (Ok(form), _, _) => request.form = form,
                (_, Ok(by), _) => request.by = Some(by),
                (_, _, Ok(from)) => request.from = Some(from),
                _ => {
                    return Err(format!(
                        "'{word}' says nothing about an attack: use fast, slow, user, application, managed_identity, \
                         inside or outside"
                    ));
                }
            }
        }
        Ok(request)
    }
}

/// An enumeration whose values have names: Display, FromStr, Serialize and the list of all.
macro_rules! named {
    ($(#[$about:meta])* $name:ident: $what:literal { $($(#[$doc:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $value),+ }

        impl $name {
            /// All values.
            pub const ALL: [$name; [$($text),+].len()] = [$($name::$value),+];

            /// The name in labels and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$value => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let allowed: &[&str] = &[$($text),+];
                Self::ALL.into_iter().find(|v| v.as_str() == text)
                    .ok_or_else(|| format!("'{text}' is no {}: use one of {}", $what, allowed.join(", ")))
            }
        }
    };
}

named! {
    /// Kind of attack: the id of the detection that is made for it.
    AttackKind: "kind of attack" {
        /// A stolen identity reads what it can reach: tens of objects in half an hour.
        MassSecretRead = "mass_secret_read",
        /// A stolen identity tries what it may not: a hundred refusals in ten minutes.
        DeniedSpike = "denied_spike",
        /// A misbehaving job floods a vault, so that it and others are answered 429.
        Throttling = "throttling",
        /// A new release rereads one secret all the time.
        ChattyCaller = "chatty_caller",
        /// One vault listed, then most of it read at once.
        ListThenRead = "list_then_read",
        /// Objects never read before, a few an hour, over a day or more.
        SlowHarvest = "slow_harvest",
        /// One refusal here and one there, over many vaults.
        DeniedSweep = "denied_sweep",
        /// Names guessed in a vault that the caller may read: not found.
        NameGuessing = "name_guessing",
        /// No token at all: 401 over every vault, and never a success.
        UnauthenticatedProbe = "unauthenticated_probe",
        /// Secrets deleted in a burst and purged soon after.
        DestructiveOperations = "destructive_operations",
        /// Every object of a vault backed up by somebody who never did.
        BackupExport = "backup_export",
        /// A few secrets that the caller may read and never did.
        NewObjectRead = "new_object_read",
        /// An identity that nobody knows reads a vault.
        NewCallerOnVault = "new_caller_on_vault",
        /// An identity that fell silent weeks ago reads again.
        DormantCaller = "dormant_caller",
        /// A known caller reads what it always reads, from an address it never had.
        NewAddress = "new_address",
        /// A known workload with another client product, from its own address.
        NewClient = "new_client",
        /// A caller of a test environment reads production, or the other way round.
        CrossEnvironmentRead = "cross_environment_read",
        /// One caller at unusually many vaults, a secret or two in each.
        ManyVaults = "many_vaults",
        /// A certificate's private key read through its secret.
        CertificateKeyRead = "certificate_key_read",
        /// A person reads at an hour and on a weekday foreign to that person.
        OffHoursRead = "off_hours_read",
        /// Something touches an object that is bait.
        HoneyObject = "honey_object",
        /// Reads from an address that is on a list.
        ListedAddress = "listed_address",
        /// Refusals at an address that is on a list.
        ListedAddressDenied = "listed_address_denied",
        /// A caller that only read begins to list, look at versions, keys and metadata.
        OperationMix = "operation_mix",
        /// The calls of a caller on its own vault are many times what they were.
        VolumeAnomaly = "volume_anomaly",
        /// Decryptions far above what the caller ever did.
        CryptoSpike = "crypto_spike",
        /// Identities that never shared an address begin to.
        SharedAddress = "shared_address",
        /// Refused, then allowed on the same object after somebody changed the policy or the role.
        DeniedThenAllowed = "denied_then_allowed",
        /// Refused by the firewall, a caller that usually passes.
        DeniedByNetwork = "denied_by_network",
        /// A caller refused at a vault where it never came before.
        UnusualDeniedCaller = "unusual_denied_caller",
        /// A caller answers 429 with more calls in place of backing off.
        RetryStorm = "retry_storm",
        /// Calls come near the limit of the vault, and nothing is refused yet.
        NearLimit = "near_limit",
        /// The billed operations of a caller step up, or grow day over day.
        VolumeGrowth = "volume_growth",
        /// Nearly every call is preceded by a 401 challenge.
        ClientPerCall = "client_per_call",
        /// Pods times objects, polled at a fixed interval.
        PollFanOut = "poll_fan_out",
        /// Deleted secrets recovered, or backups restored into another vault.
        RestoreOrRecover = "restore_or_recover",
        /// A key is disabled, its operations changed, and it is deleted.
        KeyTampering = "key_tampering",
        /// Somebody is let in, and the one who gained reads.
        PolicyChangeThenRead = "policy_change_then_read",
        /// An access policy added and removed within minutes.
        AccessPolicyFlap = "access_policy_flap",
        /// The caller lets itself in.
        SelfGrant = "self_grant",
        /// Roles give way to access policies.
        PermissionModelChanged = "permission_model_changed",
        /// The firewall opens to everybody, or to an address.
        NetworkOpened = "network_opened",
        /// A vault written without purge protection and with a short retention.
        ProtectionWeakened = "protection_weakened",
        /// Vaults written by somebody who never did.
        VaultChanged = "vault_changed",
        /// A diagnostic setting deleted, and the vault falls silent.
        DiagnosticsRemoved = "diagnostics_removed",
        /// A vault that always logs stops.
        LogSilence = "log_silence",
        /// Roles on vaults given to an identity from nowhere.
        RoleGranted = "role_granted",
        /// A trusted service passes with a token of another tenant's issuer.
        ForeignTrustedService = "foreign_trusted_service",
        /// A client that speaks a TLS version below 1.2.
        OldTls = "old_tls",
        /// A vault's service time is many times what it was.
        SlowRequests = "slow_requests",
        /// A vault answers 500 and 503.
        ServerErrors = "server_errors",
        /// A certificate is near its expiry.
        NearExpiry = "near_expiry",
        /// A secret that is still read has expired.
        Expired = "expired",
    }
}

impl AttackKind {
    /// The kinds that have a detection today.
    pub const CORE: [AttackKind; 4] = [Self::MassSecretRead, Self::DeniedSpike, Self::Throttling, Self::ChattyCaller];
}

named! {
    /// How hard an attack goes.
    Form: "form of attack" {
        /// All at once.
        Fast = "fast",
        /// Paced, to stay below notice.
        Slow = "slow",
    }
}

named! {
    /// Whose identity an attack uses.
    By: "identity" {
        /// A person.
        User = "user",
        /// A service principal.
        Application = "application",
        /// A managed identity.
        ManagedIdentity = "managed_identity",
    }
}

named! {
    /// Where an attack comes from.
    Origin: "origin" {
        /// The caller's own addresses.
        Inside = "inside",
        /// An address that the company never uses.
        Outside = "outside",
    }
}

named! {
    /// How records are laid out on disk.
    Layout: "layout" {
        /// As in a storage account: a blob for each vault and hour, `resourceId=/…/PT1H.json`.
        Archive = "archive",
        /// One file of JSON lines, `records.jsonl`.
        Single = "single",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lists_of_attacks_are_read() {
        let cases: [(&str, &[AttackKind]); 4] = [
            ("none", &[]),
            ("all", &AttackKind::ALL),
            ("throttling", &[AttackKind::Throttling]),
            ("denied_spike, chatty_caller", &[AttackKind::DeniedSpike, AttackKind::ChattyCaller]),
        ];
        for (text, expected) in cases {
            let kinds: Vec<AttackKind> = AttackRequest::parse_list(text).unwrap().iter().map(|a| a.kind).collect();
            assert_eq!(kinds, expected, "{text}");
        }
        let one = AttackRequest::parse_list("mass_secret_read:slow:application:inside").unwrap().remove(0);
        assert_eq!((one.form, one.by, one.from), (Form::Slow, Some(By::Application), Some(Origin::Inside)));
        assert!(AttackRequest::parse_list("mass_secret_reed").unwrap_err().contains("mass_secret_read"));
        assert!(AttackRequest::parse_list("throttling:hard").unwrap_err().contains("'hard'"));
    }

    #[test]
    fn settings_have_limits() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 6] = [
            ("days", |c| c.days = 0),
            ("identities", |c| c.identities = 15),
            ("vaults", |c| c.vaults = Some(2)),
            ("rate", |c| c.records_per_day = Some(f64::NAN)),
            ("start", |c| c.start = DateTime::UNIX_EPOCH),
            ("attack time", |c| c.attacks[0].at = Some(c.start - chrono::TimeDelta::seconds(1))),
        ];
        assert!(Config::default().check().is_ok());
        for (name, spoil) in cases {
            let mut config = Config::default();
            spoil(&mut config);
            let said = config.check().unwrap_err().to_string();
            assert!(said.starts_with(name), "{name}: {said}");
        }
    }
}
