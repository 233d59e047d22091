//! The risk score: one number that orders alerts, from how bad and how improbable.

use crate::alert::Severity;

/// 0 to 100: 5, 25, 45, 65 or 85 for the severity (informational to critical), plus one point for each whole decade
/// of improbability (`-log10 p`), 15 at most. So an alert never outranks one of a higher severity, and p = 0 is the
/// most that counts. Without a p-value the severity alone counts.
pub fn risk_score(severity: Severity, p_value: Option<f64>) -> u8 {
    let base = severity.risk_floor();
    let decades = match p_value {
        // A hair is added because log10 of a power of ten may fall just short of the whole number.
        Some(p) if (0.0..=1.0).contains(&p) => (-p.log10() + 1e-9).clamp(0.0, 15.0) as u8,
        _ => 0,
    };
    base + decades
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn severity_gives_the_band_and_each_decade_a_point() {
        for (severity, p, score) in [
            (Severity::Informational, None, 5),
            (Severity::Medium, None, 45),
            (Severity::Medium, Some(1.0), 45),
            (Severity::Medium, Some(0.11), 45),
            (Severity::Medium, Some(0.1), 46),
            (Severity::Medium, Some(1e-6), 51),
            (Severity::Medium, Some(1e-15), 60),
            (Severity::Medium, Some(1e-300), 60),
            (Severity::High, Some(f64::NAN), 65),
            (Severity::High, Some(-1.0), 65),
            (Severity::Critical, Some(0.0), 100),
        ] {
            assert_eq!(risk_score(severity, p), score, "{severity} {p:?}");
        }
    }

    #[test]
    fn no_improbability_outranks_a_severity() {
        for pair in Severity::ALL.windows(2) {
            assert!(risk_score(pair[0], Some(0.0)) < risk_score(pair[1], None));
        }
    }
}
