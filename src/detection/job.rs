//! Detections and their findings as text, for a process apart: what people wrote is asked there, since no bound within a
//! process holds for all that SQL can do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DetectionError, Evaluation, Origin, Parameter, Period, Place, Rule};
use crate::alert::{Finding, Micros};

/// A detection as it stands: its file's text and the values of its parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sheet {
    id: String,
    path: String,
    sql: String,
    values: BTreeMap<String, Parameter>,
}

impl From<&Rule> for Sheet {
    fn from(rule: &Rule) -> Self {
        let (id, path, sql) = (rule.id.clone(), rule.path.clone(), rule.sql.clone());
        Self { id, path, sql, values: rule.values.clone() }
    }
}

impl Sheet {
    /// The detection again.
    ///
    /// # Errors
    /// As [`Rule::parse`]; never for what a rule was made of.
    pub fn rule(self) -> Result<Rule, DetectionError> {
        let mut rule = Rule::parse(&self.id, &self.path, &self.sql, Origin::User)?;
        rule.values = self.values;
        Ok(rule)
    }
}

/// One line of the answers, which come in the order of the detections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The next detection is being asked.
    Begun,
    /// One of its findings.
    Finding(Box<Finding>),
    /// It is done; its findings count unless it failed.
    Done {
        /// The period that was asked, as [`Evaluation::period`].
        period: Option<(Micros, Micros)>,
        /// Why it failed.
        failed: Option<Failed>,
    },
}

/// A [`DetectionError`] as it is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    path: String,
    line: Option<usize>,
    message: String,
}

/// The answer of one detection as lines, from its first finding on.
pub fn lines(evaluation: Evaluation) -> impl Iterator<Item = Line> {
    let period = evaluation.period.map(|p| (p.from, p.to));
    let (findings, failed) = match evaluation.findings {
        Ok(findings) => (findings, None),
        Err(error) => (Vec::new(), Some(Failed::from(&error))),
    };
    findings.into_iter().map(|f| Line::Finding(Box::new(f))).chain([Line::Done { period, failed }])
}

/// The answer of one detection out of the end of its lines and the findings before it.
pub fn evaluation(
    rule: &Rule,
    period: Option<(Micros, Micros)>,
    findings: Vec<Finding>,
    failed: Option<Failed>,
) -> Evaluation {
    let findings = failed.map_or(Ok(findings), |failed| Err(failed.error()));
    Evaluation { rule_id: rule.id.clone(), period: period.map(|(from, to)| Period { from, to }), findings }
}

impl From<&DetectionError> for Failed {
    fn from(error: &DetectionError) -> Self {
        let place = error.place().cloned().unwrap_or_else(|| Place::file(""));
        Self { path: place.path, line: place.line, message: error.message().to_owned() }
    }
}

impl Failed {
    fn error(self) -> DetectionError {
        DetectionError::Run { place: Place { path: self.path, line: self.line }, message: self.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIMPLE: &str = include_str!("testdata/busy_caller.sql");

    #[test]
    fn a_detection_comes_back_with_its_values() {
        let mut rule = Rule::parse("busy_caller", "x/busy_caller.sql", SIMPLE, Origin::User).unwrap();
        rule.set("least", &7.into()).unwrap();
        let text = serde_json::to_string(&Sheet::from(&rule)).unwrap();
        let again = serde_json::from_str::<Sheet>(&text).unwrap().rule().unwrap();
        assert_eq!((again.values(), &again.path, &again.sql), (rule.values(), &rule.path, &rule.sql));
    }

    #[test]
    fn an_error_reads_the_same_behind_the_way() {
        let error = DetectionError::Sql { place: Place::line("a\nb.sql", Some(3)), message: "no table 'x'".to_owned() };
        let asked = Evaluation { rule_id: "a".to_owned(), period: None, findings: Err(error.clone()) };
        let lines: Vec<Line> = lines(asked).collect();
        let text = serde_json::to_string(&lines).unwrap();
        assert!(!text.contains('\n'));
        let Ok([Line::Done { failed: Some(failed), .. }]) = serde_json::from_str::<[Line; 1]>(&text) else {
            panic!("{text}")
        };
        assert_eq!(failed.error().to_string(), error.to_string());
    }
}
