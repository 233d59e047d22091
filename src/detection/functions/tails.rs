//! Upper tails of counting distributions, and two small tools beside them.
//!
//! A detection compares a tail with thresholds far below one in a million, and orders findings by it, so the tails are
//! computed as such and never as one minus a distribution function, in logarithms until the last step: they keep their
//! relative precision down to about 1e-300. Poisson and the gamma function are `statrs`'; its incomplete beta function
//! stops after 140 steps of the fraction, which is too few for counts in the hundred thousands, hence the one here.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{Signature, Volatility};
use statrs::function::gamma::{checked_gamma_lr, ln_gamma};

use super::{Body, Description, Function};

/// The largest count or mean that the functions answer for; beyond it they give null.
const MAX_COUNT: f64 = 1e9;

/// The most trials of [`beta_binomial_sf`], whose work grows with them.
const MAX_TRIALS: f64 = 1e7;

pub(super) fn functions() -> Vec<Function> {
    let numbers = |count| Signature::uniform(count, vec![DataType::Float64], Volatility::Immutable);
    let function = |name, arguments, signature, body: Body, about| Function {
        description: Description { name, arguments, about },
        signature,
        returns: DataType::Float64,
        body,
    };
    vec![
        function(
            "poisson_sf",
            "k, mean",
            numbers(2),
            |a| rowwise(a, |[k, mean]| poisson_sf(k, mean)),
            "P(X >= k) for X ~ Poisson(mean): the regularised lower gamma function P(k, mean). A fractional k is rounded up; \
             k <= 0 gives 1; mean = 0 gives 0 for k > 0. A negative mean or one above 1e9 gives null.",
        ),
        function(
            "binomial_sf",
            "k, n, p",
            numbers(3),
            |a| rowwise(a, |[k, n, p]| binomial_sf(k, n, p)),
            "P(X >= k) for X ~ Binomial(n, p): the regularised incomplete beta function I_p(k, n - k + 1). A fractional k is \
             rounded up; k <= 0 gives 1, k > n gives 0. n that is no whole number of 0 to 1e9, or p outside 0 to 1, gives null.",
        ),
        function(
            "negative_binomial_sf",
            "k, mean, dispersion",
            numbers(3),
            |a| rowwise(a, |[k, mean, dispersion]| negative_binomial_sf(k, mean, dispersion)),
            "P(X >= k) for X negative binomial with variance = mean + dispersion * mean^2 (a Poisson whose mean varies like a \
             gamma variable with shape 1/dispersion): I_q(k, 1/dispersion), q = mean / (mean + 1/dispersion). dispersion = 0 is \
             poisson_sf. k <= 0 gives 1. Negative arguments, or ones above 1e9, give null.",
        ),
        function(
            "beta_binomial_sf",
            "k, n, alpha, beta",
            numbers(4),
            |a| rowwise(a, |[k, n, alpha, beta]| beta_binomial_sf(k, n, alpha, beta)),
            "P(X >= k) for X ~ BetaBinomial(n, alpha, beta), a binomial whose p is drawn from Beta(alpha, beta): the sum of \
             C(n, i) B(i + alpha, n - i + beta) / B(alpha, beta) over i = k .. n. k <= 0 gives 1, k > n gives 0. n that is no \
             whole number of 0 to 1e7, or alpha or beta that is not above 0, gives null.",
        ),
        function(
            "robust_z",
            "x, median, mad",
            numbers(3),
            |a| rowwise(a, |[x, median, mad]| robust_z(x, median, mad)),
            "(x - median) / (1.4826 * mad): distance in standard deviations, as the median absolute deviation estimates them \
             (Iglewicz and Hoaglin 1993). mad = 0 gives 0 where x = median, else plus or minus infinity; a negative mad gives null.",
        ),
        function(
            "fisher_combine",
            "p1, p2, … or a list",
            Signature::variadic_any(Volatility::Immutable),
            fisher_combine_arrays,
            "One p-value out of several independent ones, by Fisher's method: the chi-squared tail with 2m degrees of freedom at \
             -2 * sum(ln p). Nulls are left out; all null, or a p outside 0 to 1, gives null; a p of 0 gives 0.",
        ),
    ]
}

/// Applies a function of N numbers to each row; null or NaN in any of them, or `None`, gives null.
fn rowwise<const N: usize>(arrays: &[ArrayRef], f: impl Fn([f64; N]) -> Option<f64>) -> Result<ArrayRef> {
    let columns: Vec<&Float64Array> = arrays.iter().map(|a| a.as_primitive::<Float64Type>()).collect();
    let rows = columns.first().map_or(0, |c| c.len());
    let row = |i: usize| {
        let mut values = [0.0; N];
        for (value, column) in values.iter_mut().zip(&columns) {
            *value = if column.is_null(i) || column.value(i).is_nan() { return None } else { column.value(i) };
        }
        f(values).filter(|x| !x.is_nan())
    };
    Ok(std::sync::Arc::new((0..rows).map(row).collect::<Float64Array>()))
}

fn is_count(n: f64) -> bool {
    (0.0..=MAX_COUNT).contains(&n) && n.fract() == 0.0
}

/// P(X ≥ k), X ~ Poisson(mean).
pub(super) fn poisson_sf(k: f64, mean: f64) -> Option<f64> {
    let k = k.ceil();
    if !(0.0..=MAX_COUNT).contains(&mean) || k > MAX_COUNT {
        return None;
    }
    if k <= 0.0 {
        return Some(1.0);
    }
    if mean == 0.0 {
        return Some(0.0);
    }
    checked_gamma_lr(k, mean).ok().map(|p| p.clamp(0.0, 1.0))
}

/// P(X ≥ k), X ~ Binomial(n, p).
pub(super) fn binomial_sf(k: f64, n: f64, p: f64) -> Option<f64> {
    let k = k.ceil();
    if !is_count(n) || !(0.0..=1.0).contains(&p) {
        return None;
    }
    if k <= 0.0 || (p == 1.0 && k <= n) {
        return Some(1.0);
    }
    if k > n || p == 0.0 {
        return Some(0.0);
    }
    // p^k (1-p)^(n-k+1) / (k B(k, n-k+1)), in logarithms.
    let ln_ways = ln_rising(n - k + 1.0, k) - ln_gamma(k + 1.0);
    let ln_front = ln_ways + k * p.ln() + (n - k + 1.0) * (-p).ln_1p();
    let down = |i: f64| i * (1.0 - p) / ((n - i + 1.0) * p);
    let ln_pmf = ln_front - (-p).ln_1p();
    Some(upper_tail(Shape { k, b: n - k + 1.0, x: p, y: 1.0 - p, ln_front }, ln_pmf, down))
}

/// P(X ≥ k), X negative binomial with the given mean and variance = mean + dispersion · mean².
pub(super) fn negative_binomial_sf(k: f64, mean: f64, dispersion: f64) -> Option<f64> {
    let k = k.ceil();
    let range = 0.0..=MAX_COUNT;
    if !range.contains(&mean) || !range.contains(&dispersion) || k > MAX_COUNT {
        return None;
    }
    let shape = 1.0 / dispersion;
    // Below this the two distributions agree to fifteen digits over every count up to k.
    if k <= 0.0 || mean == 0.0 || dispersion * k.max(mean).powi(2) < 1e-15 {
        return poisson_sf(k, mean);
    }
    // q^k (1-q)^r / (k B(k, r)) with q = mean / (mean + r), in logarithms; no term is larger than k ln k.
    let ln_odds = (mean / (mean + shape)).ln();
    let ln_front = ln_rising(shape, k) - ln_gamma(k + 1.0) + k * ln_odds - shape * (mean / shape).ln_1p();
    let q = mean / (mean + shape);
    let down = |i: f64| i / (q * (i - 1.0 + shape));
    Some(upper_tail(Shape { k, b: shape, x: q, y: shape / (mean + shape), ln_front }, ln_front, down))
}

/// P(X ≥ k), X ~ BetaBinomial(n, alpha, beta).
pub(super) fn beta_binomial_sf(k: f64, n: f64, alpha: f64, beta: f64) -> Option<f64> {
    let k = k.ceil();
    let shape = f64::MIN_POSITIVE..=MAX_COUNT;
    if !is_count(n) || n > MAX_TRIALS || !shape.contains(&alpha) || !shape.contains(&beta) {
        return None;
    }
    if k <= 0.0 || k > n {
        return Some(if k <= 0.0 { 1.0 } else { 0.0 });
    }
    // Beyond the mean the upper side is summed, below it the lower: whichever is the smaller, so that no digit is lost.
    let upper = k > n * alpha / (alpha + beta);
    let start = if upper { k } else { k - 1.0 };
    let ratio = |i: f64| (n - i) * (i + alpha) / ((i + 1.0) * (n - i - 1.0 + beta));
    let (mut term, mut sum, mut i) = (1.0_f64, 1.0_f64, start);
    while term > sum * 1e-17 && if upper { i < n } else { i > 0.0 } {
        (term, i) = if upper { (term * ratio(i), i + 1.0) } else { (term / ratio(i - 1.0), i - 1.0) };
        sum += term;
    }
    let ln_ways = ln_rising(n - start + 1.0, start) - ln_gamma(start + 1.0);
    let ln_start = ln_ways + ln_rising(alpha, start) + ln_rising(beta, n - start) - ln_rising(alpha + beta, n);
    let side = (ln_start + sum.ln()).exp().min(1.0);
    Some(if upper { side } else { 1.0 - side })
}

/// ln(Γ(x + n) / Γ(x)), by Stirling's series where the plain difference would lose its digits.
fn ln_rising(x: f64, n: f64) -> f64 {
    if x < 1000.0 {
        return ln_gamma(x + n) - ln_gamma(x);
    }
    let series = |x: f64| 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3));
    (x - 0.5) * (n / x).ln_1p() + n * ((x + n).ln() - 1.0) + series(x + n) - series(x)
}

/// A tail as an incomplete beta function I_x(k, b) with whole k, y = 1 - x, and ln_front = ln(x^k y^b / (k B(k, b))).
struct Shape {
    k: f64,
    b: f64,
    x: f64,
    y: f64,
    ln_front: f64,
}

/// I_x(k, b); `ln_pmf` is the logarithm of the probability of k itself, `down(i)` the ratio of that of i - 1 to that of i.
fn upper_tail(s: Shape, ln_pmf: f64, down: impl Fn(f64) -> f64) -> f64 {
    /// Above this the fraction of the complement loses digits to y near 1; the sum does not, and is short there.
    const LARGE: f64 = 1e5;
    if s.x <= (s.k + 1.0) / (s.k + s.b + 2.0) {
        return (s.ln_front + beta_fraction(s.k, s.b, s.x).ln()).exp().min(1.0);
    }
    let complement = if s.b <= LARGE {
        // The complement's front is the same but for the division by b in place of k.
        s.ln_front + s.k.ln() - s.b.ln() + beta_fraction(s.b, s.k, s.y).ln()
    } else {
        let (mut term, mut sum, mut i) = (1.0, 1.0, s.k - 1.0);
        while i > 0.0 && term > sum * 1e-17 {
            term *= down(i);
            sum += term;
            i -= 1.0;
        }
        ln_pmf + down(s.k).ln() + sum.ln()
    };
    (1.0 - complement.exp()).clamp(0.0, 1.0)
}

/// The continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22); about √max(a, b) steps.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS: u32 = 5_000_000;
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..STEPS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Distance from the median in standard deviations, as the median absolute deviation estimates them.
pub(super) fn robust_z(x: f64, median: f64, mad: f64) -> Option<f64> {
    /// 1 / Φ⁻¹(3/4): makes the MAD of normal data estimate its standard deviation.
    const SCALE: f64 = 1.4826;
    match mad {
        m if m < 0.0 => None,
        0.0 if x == median => Some(0.0),
        _ => Some((x - median) / (SCALE * mad)),
    }
}

/// Fisher's combination of p-values: the tail of chi-squared with twice as many degrees of freedom.
pub(super) fn fisher_combine(ps: &[f64]) -> Option<f64> {
    if ps.is_empty() || ps.iter().any(|p| !(0.0..=1.0).contains(p)) {
        return None;
    }
    if ps.contains(&0.0) {
        return Some(0.0);
    }
    // With an even number of degrees of freedom the tail is e^-s Σ s^i / i! for i below the number of values.
    let s: f64 = ps.iter().map(|p| -p.ln()).sum();
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..ps.len() {
        term *= s / i as f64;
        sum += term;
    }
    Some((sum.ln() - s).exp().min(1.0))
}

fn fisher_combine_arrays(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let present = |column: &Float64Array, i: usize| (!column.is_null(i)).then(|| column.value(i));
    if let [only] = arrays
        && let DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) = only.data_type()
    {
        let lists = cast(only, &DataType::new_list(DataType::Float64, true))?;
        let row = |list: Option<ArrayRef>| {
            let list = list?;
            let values = list.as_primitive::<Float64Type>();
            fisher_combine(&(0..values.len()).filter_map(|i| present(values, i)).collect::<Vec<_>>())
        };
        return Ok(std::sync::Arc::new(lists.as_list::<i32>().iter().map(row).collect::<Float64Array>()));
    }
    let columns = arrays.iter().map(|a| Ok(cast(a, &DataType::Float64)?)).collect::<Result<Vec<_>>>()?;
    let rows = columns.first().map_or(0, |c| c.len());
    let row = |i: usize| {
        let values = columns.iter().filter_map(|c| present(c.as_primitive::<Float64Type>(), i));
        fisher_combine(&values.collect::<Vec<_>>())
    };
    Ok(std::sync::Arc::new((0..rows).map(row).collect::<Float64Array>()))
}

#[cfg(test)]
#[path = "tails_tests.rs"]
mod tests;
