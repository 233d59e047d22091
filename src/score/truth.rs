//! What `labels.json` says, as far as the score needs it.

use serde::Deserialize;

use crate::alert::Micros;

/// The truth about simulated logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Labels")]
pub struct Truth {
    /// The attacks.
    pub attacks: Vec<Attack>,
    /// First moment that the logs cover.
    pub from: Micros,
    /// First moment after them.
    pub to: Micros,
}

/// One attack.
#[derive(Debug, Clone, Deserialize)]
pub struct Attack {
    /// The detection that is made for it.
    pub kind: String,
    /// Name within the labels.
    pub id: String,
    /// Whose doing; none where it has no caller.
    pub principal_id: Option<String>,
    /// Who took part besides.
    #[serde(default)]
    pub others: Vec<String>,
    /// The vaults that it touched.
    pub vaults: Vec<String>,
    /// Its address; empty where it has none.
    #[serde(default)]
    pub caller_ip: String,
    /// Fast or slow.
    #[serde(default)]
    pub form: String,
    /// Time of its first record.
    #[serde(rename = "first_record", deserialize_with = "micros")]
    pub first: Micros,
    /// Time of its last record.
    #[serde(rename = "last_record", deserialize_with = "micros")]
    pub last: Micros,
}

#[derive(Deserialize)]
struct Labels {
    attacks: Vec<Attack>,
    span: (Time, Time),
}

#[derive(Deserialize)]
struct Time(#[serde(deserialize_with = "micros")] Micros);

impl From<Labels> for Truth {
    fn from(labels: Labels) -> Self {
        let Labels { attacks, span: (Time(from), Time(to)) } = labels;
        Self { attacks, from, to }
    }
}

fn micros<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
    let text = String::deserialize(deserializer)?;
    super::matching::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no RFC 3339 time")))
}
