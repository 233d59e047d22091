//! Values that a detection's SQL names with `$`: their kinds, limits, and how each is written in SQL.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::Micros;

/// Names that the engine binds itself; a header cannot declare them.
pub const RESERVED: [&str; 7] = ["from", "to", "window", "every", "lookback", "baseline", "min_coverage"];

/// One value, bound in place of `$name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Parameter {
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// A length of time, in microseconds: an interval in SQL.
    Duration(Micros),
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A point in time: a timestamp in SQL. Only the engine makes these.
    Time(Micros),
}

impl Parameter {
    /// Reads a TOML value. A string that is a length of time (`"10m"`, `"14d"`) is one; other strings are text.
    ///
    /// # Errors
    /// Dates, arrays, tables, infinities and NaN have no parameter kind.
    pub fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Integer(i) => Ok(Self::Integer(*i)),
            toml::Value::Float(x) if x.is_finite() => Ok(Self::Float(*x)),
            toml::Value::Boolean(b) => Ok(Self::Bool(*b)),
            toml::Value::String(text) => Ok(match parse_duration(text) {
                Ok(micros) => Self::Duration(micros),
                Err(_) => Self::Text(text.clone()),
            }),
            other => Err(format!(
                "{other} is no parameter: use a number, true or false, text, or a length of time like \"10m\""
            )),
        }
    }

    /// The kind's name, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Duration(_) => "duration",
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
            Self::Time(_) => "time",
        }
    }

    /// This value in the kind of `model`: a whole number passes as a float, and any string as text.
    ///
    /// # Errors
    /// The kinds differ otherwise.
    pub fn in_kind_of(self, model: &Self) -> Result<Self, String> {
        match (self, model) {
            (Self::Integer(i), Self::Float(_)) => Ok(Self::Float(i as f64)),
            (Self::Duration(d), Self::Text(_)) => Ok(Self::Text(duration_text(d))),
            (value, model) if value.kind() == model.kind() => Ok(value),
            (value, model) => Err(format!("{value} is {} and not {}", value.kind(), model.kind())),
        }
    }

    /// Its place on the number line, for `min` and `max`; text and truth values have none.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            Self::Duration(d) | Self::Time(d) => Some(*d as f64),
            Self::Text(_) | Self::Bool(_) => None,
        }
    }

    /// The SQL expression that stands for it: a literal whose type the planner knows.
    pub fn to_sql(&self) -> String {
        match self {
            Self::Integer(i) => i.to_string(),
            // `{:?}` keeps the point or the exponent that makes the literal a double.
            Self::Float(x) => format!("{x:?}"),
            Self::Duration(d) => {
                format!("INTERVAL '{} seconds {} microseconds'", d.div_euclid(1_000_000), d.rem_euclid(1_000_000))
            }
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Bool(b) => b.to_string(),
            Self::Time(t) => {
                let text = crate::alert::rfc3339(*t);
                format!("arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
            }
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Duration(d) => f.write_str(&duration_text(*d)),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Time(t) => f.write_str(&crate::alert::rfc3339(*t)),
        }
    }
}

/// The longest length of time that a header or a case may name: a hundred years, far inside what a timestamp holds.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Microseconds of a text like `10m`, `1h 30m` or `14d`.
///
/// # Errors
/// What is wrong with the text, with an example of a right one.
pub fn parse_duration(text: &str) -> Result<Micros, String> {
    let wrong = |why: &str| format!("'{text}' is no length of time ({why}): write one like \"10m\", \"1h\" or \"14d\"");
    let duration = humantime::parse_duration(text).map_err(|e| wrong(&e.to_string()))?;
    if duration > LONGEST {
        return Err(wrong("over a hundred years"));
    }
    i64::try_from(duration.as_micros()).map_err(|_| wrong("too long"))
}

/// A length of time as a person writes it, without spaces: `1h30m`, `14d`.
pub fn duration_text(micros: Micros) -> String {
    let duration = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    humantime::format_duration(duration).to_string().replace("days", "d").replace("day", "d").replace(' ', "")
}

/// A parameter as a header declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParameter {
    pub default: toml::Value,
    pub about: String,
    pub min: Option<toml::Value>,
    pub max: Option<toml::Value>,
}

/// A parameter that a detection declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its value where the configuration says nothing.
    pub default: Parameter,
    /// What it does, one sentence.
    pub about: String,
    /// The least that makes sense.
    pub min: Option<Parameter>,
    /// The most that makes sense.
    pub max: Option<Parameter>,
}

impl Declared {
    pub(super) fn new(raw: &RawParameter) -> Result<Self, String> {
        let default = Parameter::from_toml(&raw.default)?;
        if raw.about.trim().is_empty() {
            return Err("'about' is empty: say in one sentence what the parameter does".to_owned());
        }
        let limit = |name: &str, value: &Option<toml::Value>| -> Result<Option<Parameter>, String> {
            let Some(value) = value else { return Ok(None) };
            let limit = Parameter::from_toml(value).and_then(|p| p.in_kind_of(&default));
            let limit = limit.map_err(|e| format!("'{name}': {e}"))?;
            limit.number().ok_or_else(|| format!("'{name}' has no meaning for {}: leave it out", limit.kind()))?;
            Ok(Some(limit))
        };
        let (min, max) = (limit("min", &raw.min)?, limit("max", &raw.max)?);
        let declared = Self { about: raw.about.clone(), min, max, default: default.clone() };
        declared.accept(default).map_err(|e| format!("'default': {e}"))?;
        Ok(declared)
    }

    /// A value for this parameter, checked against its kind and limits.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn accept(&self, value: Parameter) -> Result<Parameter, String> {
        let value = value.in_kind_of(&self.default)?;
        let outside = |limit: &Option<Parameter>, wrong: fn(f64, f64) -> bool| {
            let (Some(v), Some(l)) = (value.number(), limit.as_ref().and_then(Parameter::number)) else { return false };
            wrong(v, l)
        };
        if outside(&self.min, |v, l| v < l) || outside(&self.max, |v, l| v > l) {
            let side = |limit: &Option<Parameter>| limit.as_ref().map_or("any".to_owned(), ToString::to_string);
            return Err(format!("{value} is outside the range {} to {}", side(&self.min), side(&self.max)));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> toml::Value {
        toml::from_str::<toml::Table>(&format!("v = {text}")).unwrap()["v"].clone()
    }

    #[test]
    fn toml_values_become_the_kind_that_a_reader_expects() {
        for (text, expected) in [
            ("5", Parameter::Integer(5)),
            ("0.5", Parameter::Float(0.5)),
            ("\"10m\"", Parameter::Duration(600_000_000)),
            ("\"1h 30m\"", Parameter::Duration(5_400_000_000)),
            ("\"SecretGet\"", Parameter::Text("SecretGet".into())),
            ("true", Parameter::Bool(true)),
        ] {
            assert_eq!(Parameter::from_toml(&toml(text)), Ok(expected), "{text}");
        }
        for text in ["nan", "inf", "[1]", "2026-01-01"] {
            assert!(Parameter::from_toml(&toml(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_hold_and_name_the_range() {
        let raw = RawParameter { default: toml("5"), about: "x".into(), min: Some(toml("1")), max: Some(toml("9")) };
        let declared = Declared::new(&raw).unwrap();
        assert_eq!(declared.accept(Parameter::Integer(9)), Ok(Parameter::Integer(9)));
        assert_eq!(declared.accept(Parameter::Integer(10)).unwrap_err(), "10 is outside the range 1 to 9");
        assert_eq!(declared.accept(Parameter::Float(2.0)).unwrap_err(), "2 is float and not integer");
        let float = Declared::new(&RawParameter { default: toml("0.5"), min: None, max: None, ..raw }).unwrap();
        assert_eq!(float.accept(Parameter::Integer(2)), Ok(Parameter::Float(2.0)));
    }

    #[test]
    fn text_cannot_end_its_own_quotes() {
        assert_eq!(Parameter::Text("a' OR 1=1 --".into()).to_sql(), "'a'' OR 1=1 --'");
    }

    #[test]
    fn durations_read_back() {
        for text in ["10m", "14d", "1h30m", "1day"] {
            let micros = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&duration_text(micros)), Ok(micros), "{text}");
        }
        assert!(parse_duration("200years").unwrap_err().contains("hundred years"));
    }
}
