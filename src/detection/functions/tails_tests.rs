//! The tails against their definitions: sums of probabilities built by products, which share no code with the functions.

use proptest::prelude::*;

use super::*;

/// Σ e^logs without losing the small ones.
fn sum_exp(mut logs: Vec<f64>) -> f64 {
    logs.sort_by(f64::total_cmp);
    let top = *logs.last().unwrap_or(&f64::NEG_INFINITY);
    if top == f64::NEG_INFINITY {
        return 0.0;
    }
    top.exp() * logs.iter().map(|l| (l - top).exp()).sum::<f64>()
}

/// ln of a distribution on 0, 1, … given the ln of its first probability and the ratio of each to the one before.
fn tail(k: u64, last: u64, ln_first: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let mut ln = ln_first;
    let mut logs = Vec::new();
    for i in 0..=last {
        if i >= k {
            logs.push(ln);
        }
        ln += ratio(i as f64).ln();
    }
    sum_exp(logs)
}

fn poisson_sum(k: u64, mean: f64) -> f64 {
    tail(k, k + 2000 + 10 * mean as u64, -mean, |i| mean / (i + 1.0))
}

fn binomial_sum(k: u64, n: u64, p: f64) -> f64 {
    let n_ = n as f64;
    tail(k, n, n_ * (-p).ln_1p(), |i| (n_ - i) / (i + 1.0) * p / (1.0 - p))
}

fn negative_binomial_sum(k: u64, mean: f64, dispersion: f64) -> f64 {
    let r = 1.0 / dispersion;
    let q = mean / (mean + r);
    let last = k + (60.0 * (1.0 + mean * dispersion)) as u64 + 5000;
    tail(k, last, -r * (mean / r).ln_1p(), |i| q * (i + r) / (i + 1.0))
}

fn beta_binomial_sum(k: u64, n: u64, a: f64, b: f64) -> f64 {
    let n_ = n as f64;
    let ln_first = (0..n).map(|i| ((b + i as f64) / (a + b + i as f64)).ln()).sum();
    tail(k, n, ln_first, |i| (n_ - i) * (i + a) / ((i + 1.0) * (n_ - i - 1.0 + b)))
}

/// Close in ratio, or both too small for a double to hold with all its digits.
fn close(ours: f64, theirs: f64, what: &str) {
    let close = (ours - theirs).abs() <= 1e-8 * theirs.abs() || ours.max(theirs) < 1e-300;
    assert!(close, "{what}: {ours:e} and not {theirs:e}");
}

proptest! {
    #[test]
    fn poisson_is_the_sum_of_its_probabilities(k in 0u64..600, mean in 0.001f64..300.0) {
        close(poisson_sf(k as f64, mean).unwrap(), poisson_sum(k, mean), &format!("poisson_sf({k}, {mean})"));
    }

    #[test]
    fn binomial_is_the_sum_of_its_probabilities(n in 0u64..3000, share in 0.0f64..1.05, p in 1e-6f64..0.999_999) {
        let k = (n as f64 * share) as u64;
        close(binomial_sf(k as f64, n as f64, p).unwrap(), binomial_sum(k, n, p), &format!("binomial_sf({k}, {n}, {p})"));
    }

    #[test]
    fn negative_binomial_is_the_sum_of_its_probabilities(
        k in 0u64..1000, mean in 0.001f64..200.0, ln_dispersion in -30.0f64..3.0
    ) {
        let dispersion = ln_dispersion.exp();
        let ours = negative_binomial_sf(k as f64, mean, dispersion).unwrap();
        close(ours, negative_binomial_sum(k, mean, dispersion), &format!("negative_binomial_sf({k}, {mean}, {dispersion})"));
    }

    #[test]
    fn beta_binomial_is_the_sum_of_its_probabilities(
        n in 0u64..1500, share in 0.0f64..1.05, a in 0.01f64..200.0, b in 0.01f64..2000.0
    ) {
        let k = (n as f64 * share) as u64;
        let ours = beta_binomial_sf(k as f64, n as f64, a, b).unwrap();
        close(ours, beta_binomial_sum(k, n, a, b), &format!("beta_binomial_sf({k}, {n}, {a}, {b})"));
    }

    #[test]
    fn tails_are_probabilities_that_fall_with_k(
        k in -5.0f64..1e6, mean in 0.0f64..1e6, dispersion in 0.0f64..100.0, n in 0u32..1_000_000, p in 0.0f64..=1.0
    ) {
        let n = f64::from(n);
        for f in [
            &(|k| poisson_sf(k, mean)) as &dyn Fn(f64) -> Option<f64>,
            &|k| negative_binomial_sf(k, mean, dispersion),
            &|k| binomial_sf(k, n, p),
        ] {
            let (here, next) = (f(k).unwrap(), f(k + 1.0).unwrap());
            prop_assert!((0.0..=1.0).contains(&here), "{here}");
            prop_assert!(next <= here * (1.0 + 1e-9) + 1e-12, "{next} above {here}");
        }
    }

    #[test]
    fn no_argument_panics(a in any::<f64>(), b in any::<f64>(), c in any::<f64>(), d in any::<f64>()) {
        // The sizes whose work grows with them stay small; everything else is whatever a double can be.
        let small = |x: f64| if x.is_finite() { x % 1e5 } else { x };
        for answer in [
            poisson_sf(small(a), small(b)), binomial_sf(small(a), small(b).round(), c),
            negative_binomial_sf(small(a), small(b), c), beta_binomial_sf(small(a), small(b).round(), c, d),
            robust_z(a, b, c), fisher_combine(&[a, b, c]),
        ] {
            let _ = answer;
        }
    }
}

#[test]
fn far_tails_keep_their_digits() {
    for (ours, expected) in [
        (poisson_sf(150.0, 1.0), poisson_sum(150, 1.0)),
        (binomial_sf(900.0, 1000.0, 0.5), binomial_sum(900, 1000, 0.5)),
        (binomial_sf(1000.0, 1000.0, 0.5), 0.5f64.powi(1000)),
        (negative_binomial_sf(1000.0, 1.0, 1.0), 0.5f64.powi(1000)),
        (beta_binomial_sf(100.0, 100.0, 1.0, 1.0), 1.0 / 101.0),
    ] {
        let ours = ours.unwrap();
        assert!(ours > 0.0 && (ours / expected - 1.0).abs() < 1e-9, "{ours:e} and not {expected:e}");
    }
}

#[test]
fn large_counts_near_the_mean_are_right() {
    // Where 140 steps of the fraction do not suffice. Half lies above the median; the skew is below 1e-3 here.
    for (p, what) in [
        (binomial_sf(500_000.0, 1_000_000.0, 0.5), "binomial"),
        (binomial_sf(1_000_000.0, 1e9, 1e-3), "rare binomial"),
        (poisson_sf(1_000_000.0, 1_000_000.0), "poisson"),
        (negative_binomial_sf(1_000_000.0, 1_000_000.0, 1e-6), "negative binomial"),
    ] {
        assert!((p.unwrap() - 0.5).abs() < 1e-3, "{what}: {p:?}");
    }
    close(negative_binomial_sf(1e6, 1e6, 1.0).unwrap(), (1e6f64 / (1e6 + 1.0)).powf(1e6), "geometric");
}

#[test]
fn edges_are_as_documented() {
    assert_eq!(poisson_sf(2.3, 1.0), poisson_sf(3.0, 1.0));
    assert_eq!(poisson_sf(1.0, 0.0), Some(0.0));
    assert_eq!(poisson_sf(1.0, f64::INFINITY), None);
    assert_eq!(binomial_sf(1.0, 1.5, 0.5), None);
    assert_eq!(binomial_sf(0.0, 0.0, 0.5), Some(1.0));
    assert_eq!(binomial_sf(3.0, 3.0, 1.0), Some(1.0));
    assert_eq!(binomial_sf(4.0, 3.0, 1.0), Some(0.0));
    assert_eq!(negative_binomial_sf(3.0, 2.0, 0.0), poisson_sf(3.0, 2.0));
    assert_eq!(negative_binomial_sf(3.0, 2.0, -1.0), None);
    assert_eq!(beta_binomial_sf(1.0, 1.0, 0.0, 1.0), None);
    assert_eq!(robust_z(5.0, 5.0, 0.0), Some(0.0));
    assert_eq!(robust_z(6.0, 5.0, 0.0), Some(f64::INFINITY));
    assert_eq!(robust_z(6.0, 5.0, -1.0), None);
    assert_eq!(fisher_combine(&[0.5, 0.0]), Some(0.0));
    assert_eq!(fisher_combine(&[0.5, 1.5]), None);
    assert_eq!(fisher_combine(&[]), None);
    assert_eq!(fisher_combine(&[1.0, 1.0]), Some(1.0));
}
