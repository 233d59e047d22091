//! Inputs whose records say nothing of a matter that detections live on: how a request ended, who called.

use std::sync::Arc;

use crate::record::Gaps;

/// Inputs that are remarked on by name; the others are counted.
const NAMED: usize = 8;

/// What the records of inputs say, in the order in which the inputs were read.
pub(super) type InputGaps = Vec<(Arc<str>, Gaps)>;

/// Adds what a part of an input says to what is known of it.
pub(super) fn note(input_gaps: &mut InputGaps, name: &Arc<str>, gaps: Gaps) {
    match input_gaps.last_mut() {
        Some((last, sum)) if last == name => sum.add(gaps),
        _ => input_gaps.push((Arc::clone(name), gaps)),
    }
}

/// Gathers the gaps of inputs and remarks on those that lack something altogether. Holds one input at a time.
#[derive(Default)]
pub(super) struct Missing {
    current: Option<(Arc<str>, Gaps)>,
    total: Gaps,
    remarks: Vec<String>,
    unnamed: u64,
}

impl Missing {
    /// Takes the next parts, in order.
    pub fn take(&mut self, input_gaps: InputGaps) {
        for (name, gaps) in input_gaps {
            self.total.add(gaps);
            match &mut self.current {
                Some((current, sum)) if *current == name => sum.add(gaps),
                _ => {
                    self.close();
                    self.current = Some((name, gaps));
                }
            }
        }
    }

    /// The sum of all inputs, and what is to be said.
    pub fn finish(mut self) -> (Gaps, Vec<String>) {
        self.close();
        if self.unnamed > 0 {
            let more = self.unnamed;
            let inputs = if more == 1 { "input lacks" } else { "inputs lack" };
            self.remarks.push(format!("{more} more {inputs} the status or the caller of every request"));
        }
        (self.total, self.remarks)
    }

    /// Remarks on the input that has come to its end.
    fn close(&mut self) {
        let Some((name, gaps)) = self.current.take() else { return };
        let status = (gaps.without_status > 0 && gaps.with_status == 0).then(|| without_status(&name, gaps));
        let caller = (gaps.without_caller > 0 && gaps.with_caller == 0).then(|| without_caller(&name, gaps));
        let lines: Vec<String> = status.into_iter().chain(caller).collect();
        if lines.is_empty() {
            return;
        }
        if self.remarks.len() + lines.len() > NAMED {
            self.unnamed += 1;
        } else {
            self.remarks.extend(lines);
        }
    }
}

fn without_status(name: &str, gaps: Gaps) -> String {
    format!(
        "warning: {} of '{name}' how it ended: there is no status code (httpStatusCode; httpStatusCode_d or HttpStatusCode \
         in exports) and no reason phrase (resultSignature). Detections that ask whether a request succeeded or was \
         refused are blind to it: export it again with these columns",
        none_says(gaps.without_status)
    )
}

fn without_caller(name: &str, gaps: Gaps) -> String {
    format!(
        "warning: {} of '{name}' who called: there is no identity (identity.claim; identity_claim_oid_g, \
         identity_claim_appid_g, identity_claim_upn_s or Identity in exports). Detections that follow a caller are blind \
         to it: export it again with these columns",
        none_says(gaps.without_caller)
    )
}

fn none_says(requests: u64) -> String {
    if requests == 1 { "the only request does not say".into() } else { format!("none of {requests} requests says") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(with_status: u64, without_status: u64, with_caller: u64, without_caller: u64) -> Gaps {
        Gaps { with_status, without_status, with_caller, without_caller }
    }

    #[test]
    fn an_input_is_remarked_on_if_it_lacks_something_altogether() {
        let mut missing = Missing::default();
        let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
        missing.take(vec![(a.clone(), gaps(0, 2, 2, 0)), (b.clone(), gaps(0, 5, 0, 5))]);
        missing.take(vec![(b, gaps(1, 0, 0, 1)), (c, gaps(4, 0, 0, 0))]);
        let (total, remarks) = missing.finish();
        assert_eq!(total, gaps(5, 7, 2, 6));
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].contains("none of 2 requests says of 'a' how it ended"), "{remarks:?}");
        assert!(remarks[1].contains("none of 6 requests says of 'b' who called"), "{remarks:?}");
    }

    #[test]
    fn a_thousand_such_inputs_make_few_remarks() {
        let mut missing = Missing::default();
        for n in 0..1000 {
            missing.take(vec![(n.to_string().into(), gaps(0, 1, 1, 0))]);
        }
        let (_, remarks) = missing.finish();
        assert_eq!(remarks.len(), NAMED + 1);
        assert!(remarks[NAMED].starts_with("992 more inputs"), "{}", remarks[NAMED]);
    }
}
